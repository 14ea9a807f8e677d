"""The first page: its program learns, its claims are true, its commands are those of the checks."""

import inspect
import re

import pages
import pytest

import jaxspike as js

TEXT = pages.README.read_text()


@pytest.fixture(scope="module")
def run():
    return pages.run(pages.README)


def test_every_layer_of_its_network_spikes(run):
    printed, rates = run
    assert len(rates) == 2
    assert all(0.5 < rate < 90 for rate in rates), (rates, printed)


def test_its_program_is_short_and_learns(run):
    (program,) = pages.programs(pages.README)
    assert len([line for line in program.splitlines() if line]) <= 25
    assert float(re.search(r"accuracy ([\d.]+)%", run[0])[1]) > 90


def test_it_is_a_first_page():
    assert len(TEXT.splitlines()) <= 120


def test_it_counts_right():
    neurons = {n for n, v in vars(js).items() if inspect.isclass(v) and is_model(v)}
    helpers = {"Delay", "FixedPoint", "Quantized", "Refractory", "SynapseFilter"}
    helpers |= {"MembraneNoise", "Stochastic"}
    assert helpers < neurons
    surrogates = [v for v in vars(js.surrogate).values() if is_surrogate(v)]
    counted = re.search(r"(\d+) neuron models and (\d+) surrogate gradients", TEXT).groups()
    assert [int(n) for n in counted] == [len(neurons - helpers), len(surrogates)]


def is_model(value):
    bases = js.Neuron, js.SequenceNeuron
    return issubclass(value, bases) and value not in bases


def is_surrogate(value):
    base = js.surrogate.Surrogate
    return inspect.isclass(value) and issubclass(value, base) and value is not base


def test_the_checks_run_the_command_of_the_readme():
    (command,) = re.findall(r"^.*-m pytest.*$", TEXT, re.MULTILINE)
    assert command.endswith(".venv/bin/python -m pytest -q -n 2")
    assert "-m pytest" in (pages.ROOT / ".ci" / "run").read_text()
