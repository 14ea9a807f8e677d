"""`fit(learning=...)`: the numbers of a loop by hand, resumed bit for bit."""

import functools

import jax
import numpy as np
import optax
import pytest
from flax import nnx

import jaxspike as js
from jaxspike.learning import Online

pytestmark = pytest.mark.usefixtures("mixed_dtypes")  # the optimizers of Optax mix them
T, N = 6, 4
rng = np.random.default_rng(0)
DATA = [(rng.random((T, N, 5)).astype("f") * 3, rng.integers(0, 3, N)) for _ in range(3)]
LOSS = js.losses.cross_entropy
fit = functools.partial(js.train.fit, loss=LOSS, data=DATA, epochs=1, progress=False)


def make(optimizer=None, hidden=None):
    rngs = nnx.Rngs(0)
    layers = (
        nnx.Linear(5, 8, rngs=rngs),
        *(hidden or ()),
        js.ALIF(beta=0.3),
        nnx.Linear(8, 3, rngs=rngs),
    )
    net = js.nn.Sequential(*layers, js.LI())
    return net, nnx.Optimizer(net, optimizer or optax.sgd(0.3), wrt=nnx.Param)


def weights(net):
    return [np.asarray(a) for a in jax.tree.leaves(nnx.state(net, nnx.Param))]


def trained(learning, **options):
    net, optimizer = make()
    history = fit(net, optimizer, learning=learning, **options)
    return weights(net), [epoch[:3] for epoch in history]


@pytest.mark.parametrize(
    ("learning", "truncate"),
    [
        (Online(window=3), None),
        (Online(credit=("full", "none"), window=2, update="window"), 2),
    ],
)
def test_where_a_credit_is_exact_it_is_backpropagation(learning, truncate):
    """One layer with a leaky readout, and a loss that is a mean over time."""
    found, history = trained(learning)
    want, reported = trained(None, truncate=truncate)
    for a, b in zip(found, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert history[0][0] == pytest.approx(reported[0][0], rel=1e-5)


def test_every_step_has_its_own_labels():
    """A target for every step is a mean squared error over the sequence."""
    targets = [(x, rng.normal(size=(T, N, 3)).astype("f")) for x, _ in DATA]
    options = {"data": targets, "loss": lambda y, wanted: ((y - wanted) ** 2).mean()}
    options |= {"accuracy": None}
    found, history = trained(Online(window=3, labels="step"), **options)
    want, reported = trained(None, **options)
    for a, b in zip(found, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert history[0][0] == pytest.approx(reported[0][0], rel=1e-5)


def test_it_resumes_bit_for_bit_with_its_traces(tmp_path):
    """Stopped between batches that are pieces of a stream, whose traces are carried over."""
    pytest.importorskip("orbax.checkpoint")
    options = {"learning": Online(update="window"), "carry_state": True}
    want = trained(**options, epochs=2)

    def broken(epoch):
        yield from DATA[:2]
        raise KeyboardInterrupt

    saved = {**options, "checkpoints": tmp_path, "resume": "anyway"}
    with pytest.raises(KeyboardInterrupt):
        trained(**saved, data=broken)
    found = trained(**saved, epochs=2)
    for a, b in zip(found[0], want[0], strict=True):
        np.testing.assert_array_equal(a, b)
    assert found[1] == want[1]
    with pytest.raises(ValueError, match=r'learning.credit: "local" in .*, "none" here'):
        trained(**{**saved, "learning": Online(credit="none"), "resume": "exact"}, epochs=2)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"learning": "online"},
            "`fit(learning=...)` must be a `jaxspike.learning.Online`, got 'online'. "
            "Give `js.learning.Online()`.",
        ),
        (
            {"learning": Online(), "truncate": 3},
            "`fit(truncate=...)` must be None with `learning`, got 3. Use the window of `Online`.",
        ),
        (
            {"learning": Online(window=4)},
            "`fit(learning=Online(window=4))` must divide the number of time steps of a batch, got "
            "6. Pad the batch or change the window.",
        ),
        (
            {"learning": Online(labels="step")},
            '`fit(learning=Online(labels="step"))` must have labels of 6 time steps, got the shape '
            "(4,). Give labels with time as axis 0.",
        ),
    ],
)
def test_refused(options, sentence):
    with pytest.raises((TypeError, ValueError)) as caught:
        fit(*make(), **options)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("layer", "got"),
    [
        (nnx.BatchNorm(8, rngs=nnx.Rngs(0)), "statistics of batches in 1.mean"),
        (js.nn.Dropout(0.2, rngs=nnx.Rngs(0)), "random keys in 1.rngs.count"),
    ],
)
def test_layers_that_change_in_training_are_refused(layer, got):
    with pytest.raises(ValueError) as caught:
        fit(*make(hidden=[layer]), learning=Online())
    assert str(caught.value) == (
        "`fit(learning=...)` must have a network whose variables change by learning only, got "
        f"{got}. Use `js.nn.WSLinear` or `js.nn.WSConv` for a BatchNorm, and no Dropout."
    )


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: Online(update="step"),
            "`Online(update=...)` must be one of ('sequence', 'window'), got 'step'.",
        ),
        (lambda: Online(window=0), "`Online(window=...)` must be at least 1, got 0."),
        (
            lambda: Online(decay=0.9),
            "`Online(decay=...)` must be None with exact traces, got 0.9. "
            'Give `traces="factored"`.',
        ),
        (
            lambda: Online(credit="none", traces="factored"),
            '`Online(traces="factored")` must have the credit "local" and a window of 1, got '
            "'none' and 1. Its numbers would depend on the window.",
        ),
    ],
)
def test_settings(call, sentence):
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == sentence
