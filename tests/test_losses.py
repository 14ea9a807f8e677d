"""Losses: snnTorch's and SpikingJelly's numbers and gradients, closed forms, and refusals."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from golden_files import load
from xla import AS_USERS

import jaxspike as js
from jaxspike import encode, losses, readout

JELLY, _ = load("spikingjelly_coding.npz")
TORCH, INFO = load("snntorch.npz")
KEY = jax.random.key(0)
SPIKES = jax.random.bernoulli(KEY, 0.3, (9, 4, 6)).astype(jnp.float32)
V = jax.random.normal(KEY, (9, 4, 6))
LABELS = jnp.array([0, 3, 5, 2])
K, CLASSES = 2, 3  # of snnTorch's population code


def votes(spikes):
    return K * readout.voting(readout.count(spikes), CLASSES)


def earliest(spikes):
    return -readout.first_spike_time(spikes, silent=len(spikes) - 1)


def mse_count_of_votes(spikes, labels, correct_rate, incorrect_rate):
    summed = K * readout.voting(spikes, CLASSES)
    return losses.mse_count(summed, labels, K * correct_rate, K * incorrect_rate)


def ours(name, fields):
    """Our function for a loss of snnTorch, as the table of `jaxspike.losses` says."""
    rates = {k: v for k, v in fields.items() if k.endswith("_rate")}
    names = {"on_target": "correct", "off_target": "incorrect"}
    targets = {names.get(k, k): v for k, v in fields.items() if k != "target_is_time"}
    if name == "mse_temporal_loss" and not fields:
        targets = {"incorrect": 0}  # what its default comes to
    population = fields.get("population_code")
    return {
        "ce_rate_loss": losses.cross_entropy,
        "ce_count_loss": partial(
            losses.cross_entropy, readout=votes if population else readout.count
        ),
        "ce_max_membrane_loss": partial(losses.cross_entropy, readout=readout.maximum),
        "mse_count_loss": partial(mse_count_of_votes if population else losses.mse_count, **rates),
        "mse_membrane_loss": partial(losses.mse, **targets),
        "ce_temporal_loss": partial(losses.cross_entropy_temporal, **fields),
        "mse_temporal_loss": partial(losses.mse_temporal, **targets),
    }[name]


# ---- the numbers of the reference systems


@pytest.mark.parametrize(("i", "case"), list(enumerate(INFO["losses"])))
def test_loss_and_gradient_equal_snntorch(i, case):
    name, fields, which = case
    labels = TORCH["times" if fields.get("target_is_time") else "labels"]
    if "num_classes" in fields:
        labels = labels % CLASSES
    loss, grad = jax.jit(jax.value_and_grad(ours(name, fields)))(TORCH[which], labels)
    np.testing.assert_allclose(loss, TORCH["loss"][i], rtol=1e-6)
    np.testing.assert_allclose(grad, TORCH["grad"][i], rtol=1e-5, atol=1e-8)


def test_mse_temporal_wants_the_wrong_classes_last():
    spikes, labels = TORCH["spikes"], TORCH["labels"]
    i = [fields for _, fields, _ in INFO["losses"]].index({"on_target": 0, "off_target": 24})
    np.testing.assert_allclose(losses.mse_temporal(spikes, labels), TORCH["loss"][i], rtol=1e-6)


def test_accuracies_equal_snntorch():
    spikes, labels = TORCH["spikes"], TORCH["labels"]
    got = (
        losses.accuracy(spikes, labels),
        losses.accuracy(spikes, labels, earliest),
        losses.accuracy(spikes, labels % CLASSES, votes),
    )
    np.testing.assert_array_equal(got, TORCH["accuracy"])


def test_tet_without_its_second_term_equals_spikingjelly():
    f = jax.jit(jax.value_and_grad(partial(losses.tet, lamb=0.0)))
    loss, grad = f(jnp.asarray(JELLY["logits"]), JELLY["labels"])
    np.testing.assert_allclose(loss, JELLY["tet"], rtol=1e-6)
    np.testing.assert_allclose(grad, JELLY["tet_grad"], rtol=1e-5, atol=1e-8)


# ---- closed forms


def reference_cross_entropy(logits, labels):
    logits = np.asarray(logits, np.float64)
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    picked = np.take_along_axis(log_p, np.broadcast_to(labels, log_p.shape[:-1])[..., None], -1)
    return -picked.mean()


def test_cross_entropy_of_each_step_and_of_a_readout():
    got = losses.cross_entropy(V, LABELS), losses.cross_entropy(V, LABELS, readout.rate)
    want = reference_cross_entropy(V, LABELS), reference_cross_entropy(V.mean(0), LABELS)
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_probabilities_instead_of_labels():
    onehot = jax.nn.one_hot(LABELS, 6)
    for f in (losses.cross_entropy, losses.cross_entropy_temporal, losses.tet):
        np.testing.assert_allclose(f(SPIKES, onehot), f(SPIKES, LABELS), rtol=1e-6)
    smooth = losses.cross_entropy(V, 0.9 * onehot + 0.1 / 6)
    uniform = np.mean([reference_cross_entropy(V, np.full(4, c)) for c in range(6)])
    want = 0.9 * reference_cross_entropy(V, LABELS) + 0.1 * uniform
    np.testing.assert_allclose(smooth, want, rtol=1e-6)


def test_tet():
    want = 0.8 * reference_cross_entropy(V, LABELS) + 0.2 * ((np.asarray(V) - 0.5) ** 2).mean()
    np.testing.assert_allclose(losses.tet(V, LABELS, lamb=0.2, means=0.5), want, rtol=1e-6)


def test_mse_of_labels_and_of_targets():
    onehot = np.where(np.arange(6) == np.asarray(LABELS)[:, None], 0.8, 0.1)
    want = ((np.asarray(SPIKES.mean(0)) - onehot) ** 2).mean()
    rates = {"correct": 0.8, "incorrect": 0.1}
    for labels, targets in ((LABELS, rates), (onehot, {})):
        got = losses.mse(SPIKES, labels, readout.rate, **targets)
        np.testing.assert_allclose(got, want, rtol=1e-6)
    varying = np.random.default_rng(0).normal(size=V.shape)
    np.testing.assert_allclose(losses.mse(V, varying), ((V - varying) ** 2).mean(), rtol=1e-6)


def test_mse_count_is_the_mse_of_the_count():
    want = losses.mse(SPIKES, LABELS, readout.count, correct=7, incorrect=0) / 9
    np.testing.assert_allclose(losses.mse_count(SPIKES, LABELS, 0.85, 0.1), want, rtol=1e-6)


def test_mse_temporal_is_zero_at_its_target_and_within_tolerance():
    f = jax.jit(losses.mse_temporal, static_argnames="tolerance", compiler_options=AS_USERS)
    times = readout.first_spike_time(SPIKES, silent=8)
    assert f(SPIKES, times) == 0
    assert f(SPIKES, times + 1, tolerance=2) == 0
    np.testing.assert_allclose(f(SPIKES, times + 2, tolerance=2), (2 / 9) ** 2)


@pytest.mark.parametrize("tau", [1.0, 5.0, 40.0])
def test_van_rossum_against_its_sum(tau):
    other = jax.random.bernoulli(jax.random.key(1), 0.3, SPIKES.shape).astype(jnp.float32)
    t = np.arange(9)
    kernel = np.tril(np.exp(-(t[:, None] - t) / tau))
    traces = np.einsum("ts,snc->tnc", kernel, np.asarray(SPIKES - other, np.float64))
    want = (traces**2).sum(0).mean() / tau
    np.testing.assert_allclose(losses.van_rossum(SPIKES, other, tau), want, rtol=1e-5)


def test_van_rossum_limits():
    none = jnp.zeros((4000, 1))
    one = none.at[100].set(1)
    for d, want in ((0, 0.0), (25, 1 - np.exp(-0.25)), (100, 1 - np.exp(-1.0))):
        got = losses.van_rossum(one, none.at[100 + d].set(1), 100.0)
        np.testing.assert_allclose(got, want, rtol=0.02, atol=1e-7)
    np.testing.assert_allclose(losses.van_rossum(one, none, 100.0), 0.5, rtol=0.02)
    assert losses.van_rossum(one, none, jnp.array([100.0])) > 0
    g = jax.grad(losses.van_rossum)(none, one, 100.0)
    assert g[100, 0] < 0


def test_rate_band():
    spikes = jnp.zeros((10, 4, 3)).at[:3, :, 1].set(1).at[..., 2].set(1)  # rates 0, 0.3, 1
    np.testing.assert_allclose(losses.rate_band(spikes, 0.1, 0.5), (0.01 + 0.25) / 3, rtol=1e-6)
    np.testing.assert_allclose(losses.rate_band(spikes, 0.3, 0.3), (0.09 + 0.49) / 3, rtol=1e-6)
    assert losses.rate_band(spikes, 0.0, 1.0) == 0
    one_sample = jnp.zeros((10, 4, 1)).at[:4, 0].set(1)  # a rate of 0.1 over the batch
    np.testing.assert_allclose(losses.rate_band(one_sample, 0.1, 0.5), 0, atol=1e-12)


def test_regularisers_of_many_layers_count_each_neuron_alike():
    layers = {"a": SPIKES, "b": jnp.ones((9, 4, 2, 3)), "c": [jnp.zeros((9, 4))]}
    flat = jnp.concatenate([x.reshape(9, 4, -1) for x in jax.tree.leaves(layers)], -1)
    for f in (losses.sparsity, lambda x: losses.rate_band(x, 0.1, 0.2)):
        np.testing.assert_allclose(f(layers), f(flat), rtol=1e-6)
    np.testing.assert_allclose(losses.sparsity(SPIKES), SPIKES.mean(), rtol=1e-6)
    np.testing.assert_allclose(losses.sparsity(-SPIKES), SPIKES.mean(), rtol=1e-6)
    np.testing.assert_allclose(jax.grad(losses.sparsity)(SPIKES), 1 / SPIKES.size, rtol=1e-6)


def test_a_step_of_gradient_descent_lowers_each_loss():
    for name, f in LOSSES.items():
        x = 0.5 * SPIKES + 0.1 if name in ("rate_band", "sparsity") else SPIKES
        loss, grad = jax.jit(jax.value_and_grad(f))(x)
        if "temporal" not in name:  # whose gradient is an estimate
            assert f(x - 0.01 * grad) < loss, name


# ---- what all share

LOSSES = {
    "cross_entropy": lambda x: losses.cross_entropy(x, LABELS),
    "cross_entropy of a readout": lambda x: losses.cross_entropy(x, LABELS, readout.count),
    "cross_entropy_temporal": lambda x: losses.cross_entropy_temporal(x, LABELS),
    "mse": lambda x: losses.mse(x, LABELS, readout.rate, correct=0.8, incorrect=0.1),
    "mse_count": lambda x: losses.mse_count(x, LABELS, 0.8, 0.1),
    "mse_temporal": lambda x: losses.mse_temporal(x, LABELS),
    "tet": lambda x: losses.tet(x, LABELS),
    "van_rossum": lambda x: losses.van_rossum(x, jnp.zeros(x.shape), 4.0),
    "rate_band": lambda x: losses.rate_band(x, 0.05, 0.15),
    "sparsity": losses.sparsity,
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_a_differentiable_scalar(name):
    f = LOSSES[name]
    value, jitted = f(SPIKES), jax.jit(f)
    assert value.shape == ()
    np.testing.assert_allclose(jitted(SPIKES), value, rtol=1e-6)
    xs = jnp.stack([SPIKES, SPIKES[::-1]])
    want = jnp.stack([jitted(x) for x in xs])
    np.testing.assert_allclose(jax.jit(jax.vmap(f))(xs), want, rtol=1e-6)
    g = jax.jit(jax.grad(f))(SPIKES)
    assert jnp.isfinite(g).all()
    assert (g != 0).any((0, 2)).all()  # in every sample


@pytest.mark.parametrize("dtype", [jnp.bfloat16, bool, jnp.int32])
@pytest.mark.parametrize("name", [*LOSSES, "accuracy"])
def test_losses_are_float32(name, dtype):
    f = jax.jit(LOSSES.get(name, lambda x: losses.accuracy(x, LABELS)))
    x = SPIKES.astype(dtype)
    assert f(x).dtype == jnp.float32
    np.testing.assert_allclose(f(x), f(SPIKES), rtol=1e-6)


@pytest.mark.parametrize("label", [-1, 6])
def test_a_traced_label_that_is_no_class_is_nan(label):
    fs = [
        losses.cross_entropy,
        losses.cross_entropy_temporal,
        losses.mse,
        losses.mse_count,
        losses.mse_temporal,
        losses.tet,
        losses.accuracy,
    ]
    got = jax.jit(lambda labels: [f(SPIKES, labels) for f in fs])(LABELS.at[0].set(label))
    assert jnp.isnan(jnp.stack(got)).all(), got


def test_gradient_of_bfloat16_is_bfloat16():
    for name, f in LOSSES.items():
        g = jax.jit(jax.grad(f))(SPIKES.astype(jnp.bfloat16))
        assert g.dtype == jnp.bfloat16, name
        assert jnp.isfinite(g).all(), name


@pytest.mark.parametrize(
    ("kind", "sentence", "call"),
    [
        (
            ValueError,
            "`cross_entropy(x_seq=...)` must be [T, N, C], got the shape (4, 6). "
            "Time is the first axis.",
            lambda: losses.cross_entropy(V[0], LABELS),
        ),
        (
            ValueError,
            "`mse_count(spikes=...)` must have at least one time step, got the shape (0, 4, 6).",
            lambda: losses.mse_count(V[:0], LABELS),
        ),
        (
            TypeError,
            "`tet(labels=...)` must be integers, got float32. Give class indices.",
            lambda: losses.tet(V, LABELS.astype(jnp.float32)),
        ),
        (
            ValueError,
            "`mse(labels=...)` must be [N] or like the outputs [N, C], got the shape (3,) for "
            "outputs of the shape (4, 6).",
            lambda: losses.mse(V, LABELS[:3], readout.rate),
        ),
        (
            ValueError,
            "`cross_entropy(labels=...)` must be classes from 0 to 5, got -1 to 5. "
            "Leave out samples that have no class.",
            lambda: losses.cross_entropy(V, LABELS.at[0].set(-1)),
        ),
        (
            ValueError,
            "`mse_count(labels=...)` must be classes from 0 to 5, got 0 to 6. "
            "Leave out samples that have no class.",
            lambda: losses.mse_count(V, LABELS.at[1].set(6)),
        ),
        (
            ValueError,
            "`cross_entropy(x_seq=...)` must not be empty, got the shape (9, 0, 6).",
            lambda: losses.cross_entropy(V[:, :0], LABELS[:0]),
        ),
        (
            ValueError,
            "`sparsity(spikes=...)` must not be empty, got the shape (9, 0, 6).",
            lambda: losses.sparsity([V, V[:, :0]]),
        ),
        (
            ValueError,
            "`accuracy(labels=...)` must be [N], got the shape (4, 6).",
            lambda: losses.accuracy(V, jax.nn.one_hot(LABELS, 6)),
        ),
        (
            TypeError,
            "`cross_entropy(readout=...)` must be a function, got 'rate'. "
            "Give one of `jaxspike.readout`, such as `rate`.",
            lambda: losses.cross_entropy(V, LABELS, "rate"),
        ),
        (
            ValueError,
            "`mse_count(labels=...)` must be [N], got the shape (4, 6).",
            lambda: losses.mse_count(V, jax.nn.one_hot(LABELS, 6), 0.8),
        ),
        (
            ValueError,
            "`mse(correct=..., incorrect=...)` must be left out if `labels` are the targets "
            "themselves, got 0.8 and 0.0. Give labels [N], or targets alone.",
            lambda: losses.mse(V, jax.nn.one_hot(LABELS, 6), readout.rate, correct=0.8),
        ),
        (
            ValueError,
            "The result of `accuracy(readout=...)` for x_seq of (9, 4, 6) must be [4, C], got the "
            "shape (9, 4, 3).",
            lambda: losses.accuracy(V, LABELS, lambda x: readout.voting(x, 3)),
        ),
        (
            ValueError,
            "`cross_entropy_temporal(inverse=...)` must be one of ('negate', 'reciprocal'), "
            "got 'log'.",
            lambda: losses.cross_entropy_temporal(V, LABELS, "log"),
        ),
        (
            ValueError,
            "`mse_count(correct_rate=...)` must be at least 0, got -0.5.",
            lambda: losses.mse_count(V, LABELS, -0.5),
        ),
        (
            ValueError,
            "`tet(lamb=...)` must be between 0 and 1, got 1.5.",
            lambda: losses.tet(V, LABELS, lamb=1.5),
        ),
        (
            ValueError,
            "`van_rossum(targets=...)` must be [9, 4, 6], got the shape (9, 4, 3). "
            "Give the shape of `spikes`.",
            lambda: losses.van_rossum(V, V[..., :3], 4.0),
        ),
        (
            ValueError,
            "`van_rossum(tau=...)` must be greater than 0, got 0.0.",
            lambda: losses.van_rossum(V, V, 0.0),
        ),
        (
            ValueError,
            "`van_rossum(tau=...)` must be a number or broadcast into the shape (4, 6), "
            "got the shape (9, 4, 6).",
            lambda: losses.van_rossum(V, V, jnp.ones_like(V)),
        ),
        (
            ValueError,
            "`tet(lamb=...)` must be between 0 and 1, got 2.0.",
            lambda: losses.tet(V, LABELS, lamb=np.float32(2)),
        ),
        (
            ValueError,
            "`rate_band(high=...)` must be at least low = 0.5, got 0.1.",
            lambda: losses.rate_band(V, 0.5, 0.1),
        ),
        (
            ValueError,
            "`sparsity(spikes=...)` must hold an array, got [].",
            lambda: losses.sparsity([]),
        ),
        (
            ValueError,
            "`rate_band(spikes=...)` must be [T, N, *], got the shape (9,). "
            "Time is the first axis.",
            lambda: losses.rate_band([V[:, 0, 0]], 0.1, 0.5),
        ),
    ],
)
def test_refusals(kind, sentence, call):
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == sentence


# ---- what they are for


@pytest.mark.parametrize(
    ("loss", "read"),
    [
        (partial(losses.cross_entropy, readout=readout.count), readout.count),
        (partial(losses.mse_count, correct_rate=0.8, incorrect_rate=0.2), readout.count),
        (losses.cross_entropy_temporal, earliest),
        (losses.mse_temporal, earliest),
        (losses.tet, readout.rate),
    ],
)
@pytest.mark.usefixtures("mixed_dtypes")
def test_a_network_learns(loss, read):
    steps, samples = 12, 60
    labels = jnp.arange(samples) % 3
    images = 0.5 * jax.random.uniform(KEY, (samples, 8))
    images = images.at[jnp.arange(samples), labels].set(1.0)
    x = encode.direct(images, steps)
    params = {"w": 0.5 * jax.random.normal(jax.random.key(2), (8, 3)), "b": jnp.zeros(3)}
    lif = js.LI(tau=2.0) if loss is losses.tet else js.LIF(tau=2.0)
    optimizer = optax.adam(0.03)

    def forward(params):
        return js.scan(lif, lif.init_state((samples, 3)), x @ params["w"] + params["b"])[1]

    @jax.jit
    def train(params, state):
        value, grads = jax.value_and_grad(lambda p: loss(forward(p), labels))(params)
        updates, state = optimizer.update(grads, state)
        return optax.apply_updates(params, updates), state, value

    state, history = optimizer.init(params), []
    for _ in range(100):
        params, state, value = train(params, state)
        history.append(value)
    assert history[-1] < 0.5 * history[0]
    assert losses.accuracy(forward(params), labels, read) > 0.9
