"""The comparison of whole networks: equality first, turns, tables from results."""

import dataclasses
import json

import numpy as np
import pytest

from benchmarks import compare, models, models_jaxspike, models_row, models_table, table

PACKED = {
    "train/a": np.packbits(np.array([1, 0, 1, 1], bool)),
    "train/b": np.packbits(np.array([1, 1], bool)),
    "inference/a": np.packbits(np.array([0, 1, 0, 0], bool)),
}


def rows_of(name, folder):
    """What both rows of JAX compute in their first step, and their packed spikes."""
    network = models.smaller(models.NETWORKS[name])
    models.write_input(network, folder)
    answers, spikes = {}, {}
    for row in ("jaxspike", "by hand"):
        answers[row] = models_jaxspike.Jaxspike(row, folder).prepare()
        with np.load(folder / f"{row}.npz") as file:
            spikes[row] = dict(file)
    return answers, spikes


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in models.NETWORKS if name != "shd"]


@pytest.mark.parametrize("name", ["shd", *SLOW])
def test_the_network_by_hand_is_the_same(name, tmp_path):
    answers, spikes = rows_of(name, tmp_path)
    ours, by_hand = answers.values()
    assert ours["loss"] == pytest.approx(by_hand["loss"], rel=1e-5)
    assert ours["gradient"] == pytest.approx(by_hand["gradient"], rel=1e-4)
    assert set(ours["compile_s"]) == set(models.PROGRAMS)
    assert set(ours["versions"]) == {"python", "jaxspike", "jax", "jaxlib", "flax"}
    found = models.differences(spikes["jaxspike"], spikes["by hand"])
    for program in models.PROGRAMS:
        assert found[program]["different"] == 0
        assert (found[program]["spikes"] > 0) == (name != "convolutions")


def test_a_program_is_timed_after_a_short_run():
    row, calls = models_row.Row("row", "folder"), []
    row.programs["train"] = lambda: calls.append(1)
    assert set(row.run("train")) == {"wall_s", "cpu_s"} and len(calls) == 2


def test_every_network_is_in_every_library():
    folder = models.HERE
    names = {n.family for n in models.NETWORKS.values()}
    assert names == {f.__name__ for f in models_jaxspike.FAMILIES} == set(models.SMALL)
    theirs = (folder / "models_spikingjelly.py").read_text()
    assert all(f"\ndef {name}(network)" in theirs for name in names)
    for network in models.NETWORKS.values():
        assert set(network.missing) < set(models.ROWS)


def test_spikes_that_differ():
    same = models.differences(PACKED, PACKED)
    assert same == {
        "train": {"spikes": 5, "different": 0},
        "inference": {"spikes": 1, "different": 0},
    }
    other = PACKED | {"train/b": np.packbits(np.array([0, 0], bool))}
    assert models.differences(PACKED, other)["train"] == {
        "spikes": 5,
        "different": 2,
        "first": {"layer": "b", "spikes": 2, "different": 2},
    }
    with pytest.raises(ValueError) as caught:
        models.differences(PACKED, {"train/a": PACKED["train/a"]})
    assert str(caught.value) == (
        "the rows must have the same layers, got only in one: inference/a, train/b"
    )


class Fake:
    """A process that answers without doing anything."""

    def __init__(self, row, answer, folder, turns, dies_at=None):
        self.row, self.answer, self.turns, self.dies_at = row, answer, turns, dies_at
        np.savez(folder / f"{row}.npz", **PACKED)

    def ask(self, do, program=None):
        if do == "prepare":
            return dict(self.answer)
        self.turns.append((self.row, do, program))
        if len(self.turns) == self.dies_at:
            return {"reason": "the process was killed"}
        return {"peak_mib": 8.0} if do == "memory" else {"cpu_s": 2.0, "wall_s": 3.0}


def test_rows_are_compared_and_take_turns(tmp_path, capsys):
    turns, about = [], {"gradient": 1.0, "compile_s": {}, "versions": {}}
    losses = {"SpikingJelly": 2.0, "jaxspike": 2.01, "by hand": 3.0}
    processes = {r: Fake(r, {"loss": x} | about, tmp_path, turns) for r, x in losses.items()}
    rows = models.prepare(processes, tmp_path)
    assert rows["by hand"] == {"reason": "its loss is 3.000000, not 2.000000"}
    models.measure(processes, rows, 2)
    train, inference = (
        [row for row, do, program in turns if (do, program) == ("run", wanted)]
        for wanted in models.PROGRAMS
    )
    assert train == inference == ["SpikingJelly", "jaxspike", "jaxspike", "SpikingJelly"]
    assert rows["jaxspike"]["train"] == {"cpu_s": [2.0] * 2, "wall_s": [3.0] * 2, "peak_mib": 8.0}
    assert "jaxspike: train 2.000 s; inference 2.000 s" in capsys.readouterr().out


def test_a_process_that_ends_is_a_reason(tmp_path):
    answer = {"loss": 2.0, "gradient": 1.0, "compile_s": {}, "versions": {}}
    processes = {"jaxspike": Fake("jaxspike", answer, tmp_path, [], dies_at=2)}
    rows = models.prepare(processes, tmp_path)
    models.measure(processes, rows, 3)
    assert rows == {"jaxspike": {"reason": "the process was killed"}}


def test_results_of_single_networks_join(tmp_path, monkeypatch):
    def run(network, given, rounds, device):
        assert network.steps == 3 and given == {"spikingjelly": "there"} and rounds == 2
        assert device == "cpu"
        return {"jaxspike": {"reason": network.title}}

    monkeypatch.setattr(models, "RESULTS", tmp_path)
    monkeypatch.setattr(models, "run", run)
    arguments = ["--small", "--rounds", "2", "--python", "spikingjelly=there"]
    models.main(["shd_delays", *arguments])
    models.main(["sew_resnet18", *arguments])
    result = json.loads((tmp_path / "cpu" / "models.json").read_text())
    assert list(result["networks"]) == ["sew_resnet18", "shd_delays"]
    monkeypatch.setattr(models, "machine", lambda device: {"cpu": "another"})
    with pytest.raises(SystemExit, match="has results of another machine"):
        models.main(["shd", *arguments])


def test_results_of_a_gpu_have_a_folder_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(compare.shutil, "which", lambda name: name)
    monkeypatch.setattr(models, "RESULTS", tmp_path)
    monkeypatch.setattr(models, "machine", lambda device: {"cpu": "CPU", device: "GPU"})
    monkeypatch.setattr(models, "run", lambda network, given, rounds, device: {"device": device})
    models.main(["shd", "--device", "gpu"])
    result = json.loads((tmp_path / "gpu" / "models.json").read_text())
    assert result["machine"] == {"cpu": "CPU", "gpu": "GPU"}
    assert result["networks"]["shd"]["rows"] == {"device": "gpu"}


def test_memory_of_a_gpu_is_the_program_s(tmp_path):
    models.write_input(models.smaller(models.NETWORKS["shd"]), tmp_path)
    row = models_jaxspike.Jaxspike("jaxspike", tmp_path, "gpu")
    row.prepare()
    inference, train = (row.memory(program)["peak_mib"] for program in ("inference", "train"))
    assert 0 < inference < train < 1


def test_arguments(capsys):
    with pytest.raises(SystemExit):
        models.main(["sew"])
    assert "no network sew; there are convolutions, sew_resnet18, " in capsys.readouterr().err
    with pytest.raises(SystemExit):
        models.main(["shd", "--python", "norse=python"])
    assert "no environment norse; there are sparxml, spikingjelly" in capsys.readouterr().err


def measured(cpu_s, mib, compile_s=None):
    """The results of a row that ran."""
    times = {"cpu_s": cpu_s, "wall_s": [10 * s for s in cpu_s], "peak_mib": mib}
    spikes = {"spikes": 10, "different": 0}
    first = {"spikes": 10, "different": 3, "first": {"layer": "b", "spikes": 4, "different": 2}}
    return {
        **dict.fromkeys(models.PROGRAMS, times),
        "spikes": {"train": first, "inference": spikes},
        "compile_s": {} if compile_s is None else {"train": compile_s, "inference": compile_s},
        "loss": 2.5,
        "gradient": 0.5,
        "versions": {"torch": "2"},
    }


def test_the_tables_of_models():
    rows = {
        "SpikingJelly": measured([4.0, 6.0, 3.0], 800.0),
        "jaxspike": measured([2.0, 2.0, 2.0], 500.0, 7.0),
        "by hand": {"reason": "ended"},
    }
    missing = {"SpikingJelly": {"reason": "has none"}, "jaxspike": measured([1.0], None, 1.0)}
    networks = {
        "a": {"title": "A", "date": "2000-01-01", "rows": rows},
        "b": {
            "title": "B",
            "date": "2000-01-02",
            "rows": missing | {"by hand": {"reason": "ended"}},
        },
    }
    machine = {"cpu": "CPU", "cores": 2, "memory_gib": 3}
    result = {"machine": machine, "cores_used": 1, "networks": networks}
    assert models_table.small(result).splitlines() == [
        "| CPU seconds, MiB | SpikingJelly | jaxspike | by hand | SpikingJelly / jaxspike |",
        "|---|--:|--:|--:|--:|",
        "| **Train step** | | | | |",
        "| A | 4, 800 | 2, 500 | - | 2.00 |",
        "| B | - | 1, - | - | - |",
        "| **Inference** | | | | |",
        "| A | 4, 800 | 2, 500 | - | 2.00 |",
        "| B | - | 1, - | - | - |",
        "",
        "CPU, 1 of 2 cores; 2000-01-01 and 2000-01-02; torch 2.",
        "",
        "- SpikingJelly has none.",
        "- by hand ended.",
    ]
    text = models_table.small(result | {"machine": machine | {"gpu": "GPU"}})
    assert text.startswith("| Seconds, MiB | ") and "\n| A | 40, 800 | 20, 500 | - | 2.00 |" in text
    assert "\nGPU; CPU, 1 of 2 cores; " in text
    text = models_table.full(result)
    assert "| A | train | SpikingJelly | 4 | 40 | - | 800 | 10 | 3 | b, 2 of 4 | 2.500000 |" in text
    assert "| A | inference | jaxspike | 2 | 20 | 7.0 | 500 | 10 | 0 |  |  |  |" in text


def test_the_page_has_room_for_the_table_of_models():
    text = table.into(table.PAGE.read_text(), "here", "models")
    assert "\n\nhere\n<!-- /models -->" in text


def test_a_smaller_network_is_small():
    for network in models.NETWORKS.values():
        small = models.smaller(network)
        assert small.steps * small.batch * np.prod(small.sample) <= 3 * 2 * 32 * 32 * 3
        assert dataclasses.asdict(small).keys() == dataclasses.asdict(network).keys()


def test_every_layer_of_the_measured_networks_fires():
    networks = json.loads((table.RESULTS / "cpu" / "models.json").read_text())["networks"]
    rows = [row for network in networks.values() for row in network["rows"].values()]
    silent = [row["silent"] for row in rows if "silent" in row]  # not in older rows
    assert silent and not any(silent)
