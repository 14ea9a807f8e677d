"""The recipes of `docs/recipes.md` do what they say, each in at most 20 lines."""

import contextlib
import io
import os
import re
import subprocess
import sys

import jax
import numpy as np
import pages
import pytest
from xla import QUICK, as_flags

import jaxspike as js

PAGE = pages.ROOT / "docs" / "recipes.md"
SETUP, *_ = pages.programs(PAGE)
SECTIONS = {
    title: re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    for title, section in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.M | re.S)
}


def ensembles(space, _):
    losses = np.asarray(space["losses"])
    assert losses[0] > 1.0 and np.all(losses[2:] < losses[0] - 0.2)
    assert space["accuracy"] > 0.9
    rates = np.asarray(space["rates"])
    assert np.all(np.diff(rates) < 0) and rates[-1] > 0  # a slow membrane fires less


def masks(space, _):
    net, loss = space["net"], space["masked_loss"]
    padded, noise = space["padded"], space["noise"]
    assert noise.max() == 5
    np.testing.assert_array_equal(loss(net, padded), loss(net, padded + noise))
    assert loss(net, padded) != loss(net, padded + 1)


def annealing(space, _):
    assert space["net"].layers[3].neuron.surrogate.alpha > 4.8
    assert space["value"] < 0.8
    assert space["traced"] == 1  # not once per slope
    assert space["net"][1].neuron.v_threshold == np.float32(0.4)


def regularization(space, _):
    first, last = space["rates"][0], space["rates"][-1]
    assert first.min() < 0.06 and last.min() > 0.1 and last.max() < 0.24
    assert space["history"][-1].loss < 0.85 * space["history"][0].loss


def early_stop(space, _):
    assert space["best_loss"] < space["loss"] and space["epoch"] < 199
    assert space["accuracy"] > 0.6
    again = space["js"].losses.cross_entropy(
        space["run"](space["best"], space["x_seq"][:, space["valid"]]),
        space["labels"][space["valid"]],
    )
    np.testing.assert_allclose(again, space["best_loss"], rtol=1e-6)
    losses = [epoch.test.loss for epoch in space["history"]]
    np.testing.assert_allclose(space["score"].loss, min(losses), rtol=1e-5)
    assert min(losses) < losses[-1]


def reinforcement(_, printed):
    before, after = map(float, re.findall(r"end: ([\d.]+)", printed))
    assert before > 0.4 and after < 0.25


def pruning(space, printed):
    found = re.findall(r"(\d+)% of the weights, loss ([\d.]+), then ([\d.]+)", printed)
    shares, first, last = zip(*[map(float, row) for row in found], strict=True)
    assert shares == (100, 20, 20)
    assert last[1] < last[0] + 0.1 and last[2] < first[2] - 0.1


def sparse(space, printed):
    rate, cv = map(float, re.findall(r"[\d.]+", printed))
    assert 10 < rate < 100 and 0.3 < cv < 1.5
    net, current = space["net"], space["current"]
    assert "while" in str(jax.make_jaxpr(lambda x: net(net.init_state((1, 1000)), x))(current))
    matrix = net.feedback.to_dense()
    dense = js.nn.Recurrent(net.neuron.neuron, lambda y: y @ matrix)
    spikes = jax.jit(lambda x: dense(dense.init_state((1, 1000)), x)[1])(current)
    np.testing.assert_array_equal(spikes, space["spikes"])


def regression(space, _):
    assert space["errors"][-1] < 0.05 * space["target"].var()


def sharding(space, _):
    assert space["last"] < space["first"] - 0.3
    devices = "len(net[0].kernel[...].devices())"
    show = f"print(first, last, split_x.sharding.spec, len(mesh.devices), {devices})"
    program = "\n".join([SETUP, *SECTIONS["Sharding"], show])
    flags = f"{as_flags(QUICK)} --xla_force_host_platform_device_count=8"
    env = {**os.environ, "XLA_FLAGS": flags}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, last, *rest = done.stdout.splitlines()[-1].split(maxsplit=2)
    assert rest == ["P(None, 'data') 8 8"]
    np.testing.assert_allclose(
        [float(first), float(last)], [space["first"], space["last"]], rtol=1e-4
    )


def stale(space, _):
    assert [bool(c) for c in space["changed"]] == [False, True, True]
    assert space["before"].mean() > 0.005


def stays(_, printed):
    silent, fires = printed.splitlines()
    assert "('3', '5', '7'): loss 1.0986, then 1.0986; ln 3 = 1.0986" in silent
    assert "()" in fires and float(re.search(r"then ([\d.]+)", fires)[1]) < 0.8


CHECKS = {
    "Ensembles and sweeps": ensembles,
    "Variable length and masks": masks,
    "Slope annealing": annealing,
    "Rate regularization": regularization,
    "Best weights and early stopping": early_stop,
    "Reinforcement learning": reinforcement,
    "Pruning": pruning,
    "A sparse network of 1000 neurons": sparse,
    "Population coding and regression": regression,
    "Sharding": sharding,
    "Stale weights under jax.jit": stale,
    "The loss stays at ln K": stays,
}


@pytest.fixture(scope="module")
def space():
    with jax.numpy_dtype_promotion("standard"):  # as users have it
        return execute({"__name__": "recipes"}, [SETUP])[0]


def execute(space, programs):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        for program in programs:
            exec(compile(program, PAGE.name, "exec"), space)
    return space, out.getvalue()


@pytest.mark.parametrize("title", SECTIONS)
def test_it_does_what_it_says(title, space, mixed_dtypes, monkeypatch):
    traces, loss = [], js.losses.cross_entropy
    monkeypatch.setattr(js.losses, "cross_entropy", lambda *a: traces.append(a) or loss(*a))
    here, printed = execute(dict(space), SECTIONS[title])
    here["traced"] = len(traces)
    CHECKS[title](here, printed)


def test_every_recipe_is_short():
    assert set(SECTIONS) == set(CHECKS)
    for program in (SETUP, *(p for programs in SECTIONS.values() for p in programs)):
        assert len([line for line in program.splitlines() if line.strip()]) <= 20
