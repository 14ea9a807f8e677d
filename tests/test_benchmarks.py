"""The harness of the benchmarks: equality first, results as JSON, tables from results."""

import json
import os
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import cases, compare, devices, environments, learning, models, table, worker
from benchmarks.libraries import in_jax

HALF = "bfloat16"


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A run over tiny cases of two rows that work and one that does not."""
    folder = tmp_path_factory.mktemp("benchmarks")
    small = [
        cases.Case("layer", "gradient", "layer", lambda: cases.layer(5, (2, 8))),
        cases.Case("half", "gradient", "layer", lambda: cases.layer(5, (2, 8), HALF), HALF),
        cases.Case("none", "gradient", "no_such_network", lambda: cases.layer(2, (3,))),
        cases._network("loop", "train", "recurrent", 5, 8, (20, 16), (16, 16), (16, 6), alone=True),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_DYNAMIC", "FALSE")  # what is inherited is written down
        patch.setitem(compare.TABLES, "mlp", small)
        patch.setattr(compare, "RESULTS", folder)
        arguments = ["mlp", "--rows", "lax.scan", "jaxspike", "--rounds", "3", "--label", "here"]
        compare.main([*arguments, "--python", f"jaxspike={sys.executable}", "--env", "SOME=thing"])
    return json.loads((folder / "here" / "mlp.json").read_text())


@pytest.mark.slow
def test_a_run_compares_and_measures(measured):
    for name, equal in (("layer", 1e-5), ("half", 1e-2), ("loop", 1e-5)):
        first, ours = (measured["cases"][name][row] for row in ("lax.scan", "jaxspike"))
        assert first["different_spikes"] == ours["different_spikes"] == 0
        assert first["gradient_difference"] == 0 and ours["gradient_difference"] < equal
        assert 0 < first["firing_rate"] == ours["firing_rate"] < 1
        assert len(ours["ms"]) == 3 and min(ours["ms"]) > 0 and min(ours["compile_s"]) > 0
    inherited = {k: v for k, v in os.environ.items() if k.startswith(compare.KNOWN)}
    inherited["OMP_DYNAMIC"] = "FALSE"
    assert measured["environment"] == inherited | compare.ON["cpu"] | {"SOME": "thing"}
    assert set(measured["rows"]["jaxspike"]["versions"]) >= {"python", "jax", "flax", "jaxspike"}
    reason = measured["cases"]["none"]["jaxspike"]["reason"]
    assert reason == "AttributeError: 'Jaxspike' object has no attribute 'no_such_network'"


def test_differences_are_seen():
    spikes, weight = np.eye(3, dtype=np.float32), np.ones((3, 3), np.float32)
    a = {"spikes": spikes, "loss": 1.0, "p0": weight - 0.1}
    assert compare.differences(a, a, [weight]) == {
        "different_spikes": 0,
        "gradient_difference": 0,
    }
    b = {"spikes": 1 - spikes, "loss": 1.0, "p0": weight - 0.2}
    found = compare.differences(b, a, [weight])
    assert found["different_spikes"] == 9
    assert found["gradient_difference"] == pytest.approx(1, rel=1e-5)


def test_results_are_in_the_units_of_the_case(tmp_path):
    # a neuron that does not scale its input is given half of it and half of the weights
    results = {"spikes": np.ones(1), "gradient": np.full(1, 4.0), "p0": np.full(1, 3.0)}
    worker.save(tmp_path / "a.npz", results, 0.5)
    with np.load(tmp_path / "a.npz") as file:
        assert {k: v.item() for k, v in file.items()} == {"spikes": 1, "gradient": 2, "p0": 6}


def test_parameters_come_back_in_their_order(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros(2), **{f"params.{i}": np.full(2, i) for i in range(12)})
    arrays = worker.load(tmp_path / "a.npz")
    assert [p[0] for p in arrays["params"]] == list(range(12)) and set(arrays) == {"x", "params"}


def test_bfloat16_is_exact():
    x = np.float32([1.0, -3.1415927, 1e-30])
    y = cases.bfloat16(x)
    assert np.all(np.abs(y) <= np.abs(x)) and np.allclose(y, x, rtol=2**-7)
    assert np.array_equal(np.asarray(jnp.asarray(y, jnp.bfloat16), np.float32), y)


def test_a_long_call_is_timed_once():
    class Process:
        row = environments.ROWS[0]

        def ask(self, do, **_):
            raise AssertionError(do)

    rows = {Process.row.name: {"ms": 1e6}}
    compare.measure([Process()], rows, 9, compare.usual)
    assert rows[Process.row.name]["ms"] == [1e6]


def test_turns_are_in_another_order_each_time():
    turns = []

    class Process:
        def __init__(self, name):
            self.row = environments.Row(name, "", "")

        def ask(self, do, repeat, before):
            assert (do, repeat, before) == ("run", 1, 0 if self.row.name == "slow" else 1)
            turns.append(self.row.name)
            return {"ms": 5.0}

    rows = {"a": {"ms": 5.0}, "b": {"ms": 4.0}, "c": {"ms": 3.0}, "slow": {"ms": 5e3}}
    compare.measure([Process(name) for name in rows], rows, 20, compare.usual)
    rounds = {tuple(turns[i : i + 4]) for i in range(0, 80, 4)}
    assert all(sorted(r) == sorted(rows) for r in rounds) and len(rounds) > 5
    assert all(len(row["ms"]) == 20 for row in rows.values())


def test_a_call_before_is_not_timed(monkeypatch):
    here, calls = worker.Worker(None), []
    here.call = lambda: calls.append(len(calls))
    monkeypatch.setattr(worker.time, "perf_counter", lambda: float(len(calls)))
    assert here.run(2, before=3) == {"ms": 1e3} and len(calls) == 5


@pytest.mark.slow
def test_a_long_call_is_run_once(tmp_path, monkeypatch):
    class Here(worker.Library):
        calls = 0

        def compile(self, *_):
            return self.call, 0.1

        def call(self):
            self.calls += 1
            return {"spikes": np.ones(2)}

        def numpy(self, array):
            return array

    np.savez(tmp_path / "a.npz", x=np.zeros(2))
    # for its results, or its time too, or also three times for its memory
    for long, longest, calls in ((-1, -1, 1), (-1, 1e6, 2), (1e6, 1e6, 5)):
        monkeypatch.setattr(worker, "LONG", long)
        monkeypatch.setattr(worker, "LONGEST", longest)
        library = Here()
        arguments = tmp_path / "a.npz", "float32", tmp_path / "r.npz"
        found = worker.Worker(library).prepare("forward", "layer", *arguments)
        assert library.calls == calls and found["ms"] > 0 and "peak_mib" in found


def test_rows_that_are_asked_for_join_the_others(tmp_path, monkeypatch):
    class Process:
        def __init__(self, row, *_):
            self.row = row

        def describe(self):
            self.about = {"same_neuron": True}

        def ask(self, do, results=None, **_):
            if do == "prepare":
                np.savez(results, spikes=np.ones(2))
            return {"ms": 5.0}

        def close(self):
            pass

    def run(*rows):
        compare.main(["mlp", "--rounds", "1", "--rows", *rows])
        return json.loads((tmp_path / "cpu" / "mlp.json").read_text())

    some = cases.Case("some", "forward", "layer", lambda: cases.layer(1, (2,)), rows=("Norse",))
    every = cases.Case("every", "forward", "layer", lambda: cases.layer(1, (2,)))
    monkeypatch.setattr(compare, "Process", Process)
    monkeypatch.setattr(compare, "RESULTS", tmp_path)
    monkeypatch.setitem(compare.TABLES, "mlp", [some, every])
    first = run("Norse")  # compared with lax.scan, which was not asked for
    different = [rows["Norse"].get("different_spikes") for rows in first["cases"].values()]
    assert different == [None, 0]  # nothing to compare with, if lax.scan does not run
    assert [list(first["cases"][n]) for n in ("some", "every")] == [["Norse"], ["Norse"]]
    both = run("spyx")
    assert [list(both["cases"][n]) for n in ("some", "every")] == [["Norse"], ["Norse", "spyx"]]
    assert list(both["rows"]) == ["Norse", "spyx"]
    path = tmp_path / "cpu" / "mlp.json"
    path.write_text(json.dumps(both | {"remarks": {"some": "as it was", "every": "as it was"}}))
    compare.main(["mlp", "--rounds", "1", "--cases", "ev"])
    now = json.loads(path.read_text())
    assert list(now["cases"]["some"]) == ["Norse"] and len(now["cases"]["every"]) > 10
    assert now["remarks"] == {"some": "as it was"}
    monkeypatch.setattr(compare, "machine", lambda device: {"cpu": "another"})
    before = path.read_text()
    with pytest.raises(SystemExit) as caught:
        run("spyx")
    assert str(caught.value) == (
        f"{path} has results of another machine, {both['machine']!r}, not "
        "{'cpu': 'another'}: measure the whole table again, or give a --label"
    )
    assert path.read_text() == before


def test_a_large_case_has_the_memory_for_itself():
    class Process:
        def __init__(self, row):
            self.row, self.open = row, True
            started.append(self)

        def close(self):
            self.open = False

    def start(rows):
        return [Process(r) for r in rows]

    started = []
    processes = start(environments.ROWS[:3])
    names = tuple(r.name for r in environments.ROWS[1:3])
    case = cases.Case("small", "forward", "layer", dict, rows=names)
    assert list(compare.groups(processes, case, start)) == [processes[1:]]
    case = cases.Case("large", "forward", "layer", dict, alone=True, rows=names)
    found = []
    for group in compare.groups(processes, case, start):
        assert [p for p in started if p.open] == group
        found += [p.row.name for p in group]
    assert tuple(found) == names and len(started) == 5
    assert not any(p.open for p in started)
    for table_ in cases.TABLES.values():  # the processes of the others are ended by then
        alone = [c.alone for c in table_]
        assert alone == sorted(alone)


def test_machines(monkeypatch, tmp_path):
    def found(text):
        (tmp_path / "cpuinfo").write_text(text)
        monkeypatch.setattr(compare, "CPUINFO", tmp_path / "cpuinfo")
        return compare.machine()["cpu"]

    monkeypatch.setattr(compare.platform, "processor", lambda: "")
    monkeypatch.setattr(compare.platform, "machine", lambda: "aarch64")
    x86 = "model name\t: A\ncpu family\t: 6\nmodel\t: 7\n"
    assert found(x86) == "A (family 6, model 7)"
    assert found("model name: B\n") == "B"
    assert found("CPU implementer: 0x41\n") == "aarch64"


def test_an_error_is_a_reason():
    command = [sys.executable, "-m", "benchmarks.worker", "hand_written", "lax.scan", "cpu"]
    request = json.dumps({"do": "run", "repeat": 1}) + "\n"  # nothing is prepared
    answer = subprocess.run(
        command, cwd=environments.HERE.parent, input=request, capture_output=True, text=True
    ).stdout
    assert json.loads(answer) == {"reason": "TypeError: 'NoneType' object is not callable"}


def test_a_process_that_ended_is_a_reason(tmp_path):
    row = environments.Row("gone", "no_such_module", "jaxspike")
    process = compare.Process(row, {"jaxspike": sys.executable}, {}, "cpu")
    process.describe()
    assert process.about["same_neuron"] is False and process.about["versions"] == {}
    rows = {"gone": {"ms": 1.0}}
    compare.measure([process], rows, 2, compare.usual)
    assert rows["gone"] == {"reason": "the process ended with 1", "ms": []}
    process.close()
    process = compare.Process(environments.ROWS[0], {"jaxspike": sys.executable}, {}, "cpu")
    process.process.kill()
    assert process.ask("describe") == {"reason": "the process was killed"}
    process.close()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["mpl"], "no table mpl; there are neuron_layer, neuron_layer_forward, "),
        (["mlp", "--rows", "Nore"], "no row Nore; there are lax.scan, jaxspike, "),
        (["mlp", "--cases", "T=5"], "no case begins with T=5; there are T=4, B=128, "),
        (["--python", "foo"], "argument --python: must be NAME=VALUE, got 'foo'"),
        (["--python", "foo=python"], "no environment foo; there are jaxpike, jaxspike, norse, "),
        (["--python", "spyx=/none"], "--python spyx=/none: there is no such program"),
        (["--env", "=1"], "argument --env: must be NAME=VALUE, got '=1'"),
        (["--rounds", "0"], "argument --rounds: must be a number of at least 1, got '0'"),
    ],
)
def test_arguments(arguments, error, capsys):
    with pytest.raises(SystemExit):
        compare.main(arguments)
    assert error in capsys.readouterr().err


@pytest.mark.parametrize("device", compare.ON)
def test_a_process_has_the_environment_of_its_device(tmp_path, device):
    worker = tmp_path / "python"
    lines = "import json, os", "input()", "print(json.dumps(dict(os.environ)))"
    worker.write_text("\n".join([f"#!{sys.executable}", *lines]))
    worker.chmod(0o755)
    process = compare.Process(environments.ROWS[0], {"jaxspike": worker}, {"A": "b"}, device)
    assert process.ask("anything").items() >= (compare.ON[device] | {"A": "b"}).items()
    process.close()


def test_a_gpu_that_is_not_there(monkeypatch, capsys):
    monkeypatch.setattr(compare.shutil, "which", lambda name: None)
    for command in (compare, learning, models):
        with pytest.raises(SystemExit):
            command.main(["--device", "gpu"])
        error = "--device: gpu needs an NVIDIA GPU and its driver; nvidia-smi is not there"
        assert error in capsys.readouterr().err


def test_environments_for_a_gpu():
    assert "jax==0.12.0.1" in environments.requirements("jaxspike", "cpu")
    assert "jax[cuda13]==0.12.0.1" in environments.requirements("jaxspike", "gpu")
    on = [environments.requirements("norse", device) for device in ("cpu", "gpu")]
    assert on[0] == on[1]
    assert set(compare.ON) == set(table.DEVICES)


@pytest.mark.slow
def test_memory_of_a_call_is_seen():
    if (taken := worker.peak(lambda: np.ones(2**23))) is None:
        pytest.skip("no /proc")
    assert 60 < taken < 90


def test_every_network_fires():
    for entries in cases.TABLES.values():
        assert entries
    assert set(cases.TABLES) == set(cases.TITLES)
    arrays = cases.network(5, 4, (6, 8))
    again = cases.network(5, 4, (6, 8))
    assert all(np.array_equal(arrays[k], again[k]) for k in arrays)


def test_rows_and_requirements_agree():
    folder = environments.HERE
    named = {f"{r.environment}.txt" for r in environments.ROWS}
    assert named | {"braintrace.txt"} == {p.name for p in (folder / "requirements").iterdir()}
    for row in environments.ROWS:
        source = (folder / "libraries" / f"{row.module}.py").read_text()
        assert (row.key or row.name) in source.split("ROWS = ")[1]


def answer(*ms):
    about = {"compile_s": [1.0], "peak_mib": 8.0, "firing_rate": 0.1, "different_spikes": 0}
    return {"ms": list(ms)} | about


def test_the_small_table():
    rows = {
        "jaxspike": answer(5, 3, 40),
        "jaxspike, jax 0.11": answer(7),
        "lax.scan": answer(123.4, 123.4),
        "sparxml": answer(4.56),
        "Norse": {"reason": "no such neuron"},
        "floor": answer(0.5),
    }
    text = table.small([{"table": "mlp", "cases": {"T=1": rows}}])
    assert text.splitlines()[-1] == "| T=1 | 5 (7) | 123 | **4.56** | - | - | - | - | - | 0.5 |"


@pytest.mark.slow
def test_the_full_table(measured):
    text = table.full([measured])
    assert "| jaxspike | AttributeError" in text and "`SOME=thing`" in text
    assert f"jaxspike {measured['rows']['jaxspike']['versions']['jaxspike']}" in text
    text = table.full([measured | {"remarks": {"half": "On another day."}}])
    assert f"## {table.TITLES['mlp']}: half\n\nOn another day.\n\n| |" in text


@pytest.mark.slow
def test_the_results_of_a_folder_are_of_one_machine(measured):
    other = measured | {"table": "other", "date": "2000-01-01"}
    assert f"; 2000-01-01 and {measured['date']}; " in table.about([measured, other])
    for what in ("machine", "environment", "realtime"):
        with pytest.raises(ValueError) as caught:
            table.about([measured, other | {what: "another"}])
        assert str(caught.value) == (
            f"the results of a folder must be of one {what}; 'other' is of another, 'mlp' of "
            f"{measured[what]}: measure it again, or both with a --label of their own"
        )


def test_the_pages_have_the_tables_of_the_results():
    for path, text in table.pages().items():
        assert path.read_text() == text, path
    with pytest.raises(ValueError, match="the page must have the lines"):
        table.into("# no marks", "")


def test_the_readme_shows_where_we_lose():
    lines = table.brief(table.load(table.RESULTS / "cpu")).splitlines()[2:]
    ours = [line.split("|")[2] for line in lines]
    assert len(ours) == len(table.CHOSEN)
    assert any("**" in cell for cell in ours) and any("**" not in cell for cell in ours)
    assert all(line.count("**") == 2 for line in lines)


def test_the_table_of_learning_rules():
    rows = {
        "BPTT": {"ms": [2.0], "mib": [1.0, 10.0]},
        "none": {"ms": [3.0, 25.0], "mib": [1.0, 1.0]},
    }
    text = table.learned({"networks": {"a": {"rows": rows}, "b": {"rows": {"BPTT": rows["BPTT"]}}}})
    assert "| BPTT | 1.0, 10 MiB | 1.0, 10 MiB |\n| none | 7.0, 1 MiB | - |\n" in text


@pytest.mark.slow
def test_learning_rules_are_compared_and_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(learning, "RESULTS", tmp_path)
    learning.main(["recurrent", "--steps", "32", "--rounds", "1", "--peers", "--label", "here"])
    result = json.loads((tmp_path / "here" / "learning.json").read_text())
    (run,) = result["runs"]
    assert run["steps"] == 32
    rows = run["networks"]["recurrent"]["rows"]
    assert all(row["difference"] < 1e-5 and row["ms"][0] > 0 for row in rows.values())
    assert 0 < rows["none"]["cosine"] < rows["local"]["cosine"] < 0.999  # rules, not BPTT
    assert rows["local"]["mib"][0] == rows["local"]["mib"][1] < rows["BPTT"]["mib"][1]


@pytest.mark.slow
def test_devices_agree_with_one(tmp_path, capsys):
    devices.main(["--counts", "1", "2", "--calls", "1", "--out", str(tmp_path / "d.json")])
    one, two = json.loads((tmp_path / "d.json").read_text())["devices"]
    assert (one["devices"], two["devices"]) == (1, 2)
    assert one["spikes"] == two["spikes"] and 0 < two["firing_rate"] < 1
    assert one["difference"] == 0 and two["difference"] < 1e-5
    lines = capsys.readouterr().out.splitlines()
    assert lines[-4].startswith("| devices | ms |")
    assert lines[-1].startswith("| 2 | ")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"spikes": "b"}, "2 devices must give the spikes of one, got others."),
        ({"loss": 1.1}, "2 devices must agree to 1e-5, differ by 1.0e-01."),
        ({"moved": [[0.5, 1.0]]}, "2 devices must agree to 1e-5, differ by 5.0e-01."),
    ],
)
def test_devices_that_differ_are_an_error(change, error):
    one = {"devices": 2, "spikes": "a", "loss": 1.0, "moved": [[0.0, 1.0]]}
    assert devices.difference(one, one) == 0
    with pytest.raises(ValueError) as caught:
        devices.difference(one | change, one)
    assert str(caught.value) == error


def test_a_quantity_of_a_row():
    assert table.value({"ms": [1.0, 5.0, 2.0], "compile_s": []}) == 2.0
    assert table.value({"ms": [1.0], "compile_s": [3.0, 1.0, 2.0]}, "compile_s") == 2.0
    assert table.value({"ms": [1.0], "compile_s": []}, "compile_s") is None  # nothing compiles
    assert table.value({"ms": [1.0], "peak_mib": 7.5}, "peak_mib") == 7.5
    assert table.value({"reason": "cannot"}) is None and table.value(None) is None


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_forward_pass_ends_in_the_type_of_its_input(dtype):
    """A library whose spikes are always of float32 has them rounded like the others."""

    class Wide(in_jax.JaxLibrary):
        def layer(self, x):
            return jnp.where(x > 0, 1.0, 0.0).astype(jnp.float32)

    call, _ = Wide().compile("forward", "layer", {"x": np.float32([[1.0, -1.0]])}, dtype)
    spikes = call()["spikes"]
    assert spikes.dtype == dtype and spikes.tolist() == [[1.0, 0.0]]
