"""The README's programs run as written, and their networks spike."""

import contextlib
import io
import pathlib
import re

import pytest

import jaxspike as js

ROOT = pathlib.Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def run():
    """What the programs printed, and the layers' firing rates of every network they made."""
    space, rates, out = {"__name__": "readme"}, [], io.StringIO()
    with contextlib.redirect_stdout(out):
        for block in BLOCKS:
            exec(compile(block, "README.md", "exec"), space)
            if "net = " in block:
                net, x = space["net"], space["images" if "images = " in block else "x_seq"]
                report = js.debug.firing_rates(net, net.init_state(x.shape[1:]), x)
                rates += [100 * layer.rate for layer in report.layers.values()]
    return out.getvalue(), rates


def test_every_layer_of_every_network_spikes(run):
    printed, rates = run
    assert len(rates) == 8
    shown = [float(r) for r in re.findall(r"firing rate ([-\d.]+)%", printed)]
    assert len(shown) == "".join(BLOCKS).count("firing rate")
    assert all(0.5 < rate < 90 for rate in rates + shown), (rates, printed)


def test_the_fifteen_lines_are_that_and_learn(run):
    assert len(BLOCKS[0].splitlines()) == 15
    assert float(re.search(r"accuracy ([\d.]+)%", run[0])[1]) > 90


def test_it_names_what_the_other_library_has():
    for name in (
        "multi_step_forward",
        "seq_to_ann_forward",
        "MultiStepContainer",
        "SeqToANNContainer",
        "StepModeContainer",
        "set_step_mode",
        "reset_net",
    ):
        assert name in README


def test_links_lead_somewhere():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (ROOT / target).exists(), target


def test_the_checks_run_the_command_of_the_readme():
    (command,) = re.findall(r"^.*-m pytest.*$", README, re.MULTILINE)
    assert command.endswith(".venv/bin/python -m pytest -q -n 2")
    assert "-m pytest" in (ROOT / ".ci" / "run").read_text()
