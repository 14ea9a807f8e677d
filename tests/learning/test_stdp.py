"""Rules without a loss: windows, sums over spikes and layers in NumPy, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from plasticity import POST, PRE, RULE, RULES, K, M, N, T, W, raises, run, spikes, total

import jaxspike as js

RNGS = nnx.Rngs(0)


# ---- windows and sums over spikes


@pytest.mark.parametrize("same_step", [True, False])
@pytest.mark.parametrize("pairing", ["all", "nearest"])
def test_every_pair_gives_the_closed_window(pairing, same_step):
    rule = RULE.replace(pairing=pairing, same_step=same_step)
    dt = np.arange(-10, 11)
    pre, post = np.zeros((T, 1, 1), np.float32), np.zeros((T, 1, len(dt)), np.float32)
    pre[12] = 1
    post[12 + dt, 0, np.arange(len(dt))] = 1
    want = np.where(dt > 0, 0.7 * np.exp(-dt / 3.0), -0.5 * np.exp(dt / 4.0))
    want[dt == 0] = (0.7 - 0.5) * same_step
    got = total(rule, jnp.ones((1, len(dt))), pre, post)
    np.testing.assert_allclose(got[0], want, rtol=1e-5)


def pairs_of(pairing, same_step, tau, first, second):
    """For each spike of the second train, the sum over those of the first that it pairs with."""
    found = np.zeros(T)
    for t in np.flatnonzero(second):
        earlier = np.flatnonzero(first[: t + same_step])
        earlier = earlier[-1:] if pairing == "nearest" else earlier
        found[t] = np.exp(-(t - earlier) / tau).sum()
    return found


@pytest.mark.parametrize("same_step", [True, False])
@pytest.mark.parametrize("pairing", ["all", "nearest"])
def test_trains_give_the_sum_over_their_pairs(pairing, same_step):
    rule = RULE.replace(pairing=pairing, same_step=same_step)
    want = np.zeros((T, M, K))
    for n, i, j in np.ndindex(N, M, K):
        plus = pairs_of(pairing, same_step, 3.0, PRE[:, n, i], POST[:, n, j])
        minus = pairs_of(pairing, same_step, 4.0, POST[:, n, j], PRE[:, n, i])
        want[:, i, j] += 0.7 * plus - 0.5 * minus
    np.testing.assert_allclose(run(rule, W, PRE, POST)[1], want, rtol=1e-4, atol=1e-5)


def test_triplets_give_the_sum_over_triples():
    rule = RULES["triplet"]
    want = np.zeros((T, M, K))
    for n, i, j in np.ndindex(N, M, K):
        pre, post = PRE[:, n, i], POST[:, n, j]
        r1, o1 = pairs_of("all", 1, 3.0, pre, post), pairs_of("all", 1, 4.0, post, pre)
        r2, o2 = pairs_of("all", 0, 5.0, pre, pre), pairs_of("all", 0, 6.0, post, post)
        want[:, i, j] += r1 * (0.2 + rule.a3_plus * o2) - o1 * (rule.a2_minus + rule.a3_minus * r2)
    np.testing.assert_allclose(run(rule, W, PRE, POST)[1], want, rtol=1e-4, atol=1e-6)


def test_triplets_with_the_constants_of_diehl_and_cook():
    """Their equations: `on_pre`, then `on_post`, with traces that spikes set to 1."""
    rule = js.learning.TripletSTDP(
        20.0,
        tau_minus=20.0,
        tau_y=40.0,
        a2_plus=0.0,
        a3_plus=0.01,
        a2_minus=1e-4,
        a3_minus=0.0,
        pairing="nearest",
        same_step=False,
    )
    pre, post1, post2 = np.zeros(M), np.zeros(K), np.zeros(K)
    want = np.zeros((T, M, K))
    for t in range(T):
        pre, post1, post2 = pre * np.exp(-1 / 20), post1 * np.exp(-1 / 20), post2 * np.exp(-1 / 40)
        want[t] -= 1e-4 * PRE[t, 0][:, None] * post1
        want[t] += 0.01 * pre[:, None] * post2 * POST[t, 0]
        pre[PRE[t, 0] > 0] = 1
        post1[POST[t, 0] > 0] = post2[POST[t, 0] > 0] = 1
    got = run(rule, W, PRE[:, :1], POST[:, :1])[1]
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-8)


def test_post_spikes_strengthen_the_inputs_over_the_target():
    bounds = js.learning.PowerLaw(mu_plus=0.5)
    rule = RULES["post spike"].replace(weight_dependence=bounds)
    x, want = np.zeros((N, M)), np.zeros((T, M, K))
    for t in range(T):
        x = np.exp(-1 / 4.0) * x + PRE[t]
        want[t] = 0.3 * np.einsum("nm,nk->mk", x - 0.4, POST[t]) * (1 - W) ** 0.5
    unbounded = np.clip(W + want, 0, 1) - W
    got = run(rule, W, PRE, POST)[1]
    np.testing.assert_allclose(got, unbounded, rtol=1e-4, atol=1e-5)


def test_a_trace_in_the_input_pairs_by_its_value():
    """Graded input, as of an image: the trace adds it up."""
    x = np.random.default_rng(3).random((T, N, M)).astype(np.float32)
    trace, want = np.zeros((N, M)), np.zeros((M, K))
    for t in range(T):
        trace = np.exp(-1 / 3.0) * trace + x[t]
        want += 0.7 * np.einsum("nm,nk->mk", trace, POST[t])
    got = total(RULE.replace(a_minus=0.0), W, x, POST)
    np.testing.assert_allclose(got, want, rtol=1e-4)


# ---- any linear layer


def conv(*args, **kwargs):
    return nnx.Conv(*args, rngs=RNGS, **kwargs)


LAYERS = {
    "Linear": (nnx.Linear(M, K, rngs=RNGS), (M,)),
    "Conv": (conv(2, 3, (3, 2), strides=(2, 1), padding=1), (5, 4, 2)),
    "Conv, dilated": (conv(2, 3, (2, 2), kernel_dilation=2, padding="VALID"), (5, 4, 2)),
    "Conv, groups": (conv(4, 6, (3, 3), feature_group_count=2, use_bias=False), (3, 3, 4)),
    "Conv, circular": (conv(2, 3, 3, padding="CIRCULAR"), (4, 2)),
    "ConvTranspose": (nnx.ConvTranspose(2, 3, (2, 2), strides=(2, 2), rngs=RNGS), (3, 2, 2)),
    "Einsum": (nnx.Einsum("...ab,bc->...ac", (3, 4), (4,), rngs=RNGS), (2, 3)),
    "LinearGeneral": (nnx.LinearGeneral((2, 3), (4, 2), axis=(-2, -1), rngs=RNGS), (2, 3)),
}


@jax.jit
def connections(layer, one_hot):
    """Which weight connects which input with which neuron: [weights, inputs, neurons], 0 or 1."""
    kernel = layer.kernel[...]

    def outputs(weights):
        only = jax.tree.map(lambda a: weights if a is kernel else jnp.zeros_like(a), layer)
        return only(one_hot).reshape(len(one_hot), -1)

    return jax.vmap(outputs)(jnp.eye(kernel.size).reshape(kernel.size, *kernel.shape))


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_its_connections(name):
    layer, shape = LAYERS[name]
    pre = spikes(2, *shape)
    post = spikes(2, *layer(pre[0]).shape[1:], seed=1)
    flat = [a.reshape(T, 2, -1) for a in (pre, post)]
    dense = total(RULE, jnp.zeros((flat[0].shape[-1], flat[1].shape[-1])), *flat)
    one_hot = jnp.eye(len(dense)).reshape(-1, *shape)
    want = (connections(layer, one_hot) * dense).sum((1, 2))
    got = total(RULE, layer, pre, post)
    assert np.abs(want).min() > 0
    np.testing.assert_allclose(got.kernel[...].ravel(), want, rtol=1e-4, atol=1e-4)
    if getattr(layer, "bias", None) is not None:
        np.testing.assert_array_equal(got.bias[...], 0)


def test_a_convolution_is_its_weight_gradient_at_the_traces():
    layer, shape = LAYERS["Conv"]
    pre, post = spikes(2, *shape), spikes(2, *layer(spikes(2, *shape)[0]).shape[1:], seed=1)
    traces, dw = run(RULE, layer, pre, post)

    def gradient(x, z):
        return jax.grad(lambda layer: (layer(x) * z).sum())(layer).kernel[...]

    want = 0.7 * gradient(traces.pre, post[-1]) - 0.5 * gradient(pre[-1], traces.post)
    np.testing.assert_allclose(dw.kernel[-1], want, rtol=1e-5, atol=1e-5)


def test_the_weights_are_where_they_are_in_a_layer_of_layers():
    layer = nnx.Sequential(LAYERS["Conv"][0], lambda x: x.reshape(len(x), -1))
    dw = total(RULE, layer, spikes(2, 5, 4, 2), spikes(2, 45, seed=1))
    want = total(
        RULE, layer.layers[0], spikes(2, 5, 4, 2), spikes(2, 3, 5, 3, seed=1).reshape(T, 2, 3, 5, 3)
    )
    np.testing.assert_array_equal(dw.layers[0].kernel[...], want.kernel[...])


# ---- batch, dtypes, transformations


def test_every_rule_has_a_row():
    kinds = [kind for kind in vars(js.learning).values() if isinstance(kind, type)]
    rules = {kind for kind in kinds if issubclass(kind, js.learning.PlasticityRule)}
    assert rules - {js.learning.PlasticityRule} == {type(rule) for rule in RULES.values()}


@pytest.mark.parametrize("name", RULES)
def test_samples_add_up(name):
    rule = RULES[name].replace(reduction="sum")
    each = jax.vmap(lambda x, z: total(rule, W, x[:, None], z[:, None]), in_axes=1)(PRE, POST)
    got = total(rule, W, PRE, POST)
    assert np.abs(got).max() > 0.01
    np.testing.assert_allclose(got, each.sum(0), rtol=1e-4, atol=1e-5)
    mean = total(rule.replace(reduction="mean"), W, PRE, POST)
    np.testing.assert_allclose(mean, each.mean(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", RULES)
def test_traces_stay_in_float32(name):
    low = jnp.bfloat16
    traces, dw = run(RULES[name], W.astype(low), PRE.astype(low), POST.astype(low))
    want = run(RULES[name], W.astype(low).astype(jnp.float32), PRE, POST)
    assert {a.dtype.name for a in jax.tree.leaves(traces)} == {"float32"}
    assert dw.dtype == low
    jax.tree.map(np.testing.assert_array_equal, traces, want[0])
    np.testing.assert_allclose(dw.astype(jnp.float32), want[1], rtol=1e-2, atol=1e-5)


def test_a_slow_trace_decays():
    """In bfloat16 it would stay: the decay rounds to 1."""
    pre, post = np.zeros((T, 1, 1)), np.zeros((T, 1, 1))
    pre[0], post[-1] = 1, 1
    pre, post = pre.astype(jnp.bfloat16), post.astype(jnp.bfloat16)
    dw = total(js.learning.STDP(1000.0, a_plus=1.0), jnp.zeros((1, 1)), pre, post)
    np.testing.assert_allclose(dw, np.exp(-(T - 1) / 1000), rtol=1e-5)


def test_booleans_and_integers_are_spikes():
    want = total(RULE, W, PRE, POST)
    np.testing.assert_array_equal(total(RULE, W, PRE > 0, POST.astype(np.int32)), want)


def test_a_parameter_of_a_rule_has_a_gradient():
    def last(tau):
        return total(RULE.replace(tau_plus=tau), W, PRE, POST).sum()

    tau, d = jnp.array(3.0), 1e-2
    numeric = (last(tau + d) - last(tau - d)) / (2 * d)
    np.testing.assert_allclose(jax.grad(last)(tau), numeric, rtol=1e-2)


def test_amplitudes_and_time_constants_of_each_neuron():
    tau, a = jnp.array([2.0, 3.0, 4.0, 5.0]), jnp.arange(1.0, K + 1)
    together = total(RULE.replace(tau_plus=tau, a_plus=a), W, PRE, POST)
    for i, j in ((0, 1), (3, 4)):
        rule = RULE.replace(tau_plus=float(tau[i]), a_plus=float(a[j]))
        np.testing.assert_allclose(together[i, j], total(rule, W, PRE, POST)[i, j], rtol=1e-5)


# ---- dependence on the weight


def learn(rule, w, pre, post):
    """The weights at every step."""

    def step(carry, signals):
        traces, w = carry
        traces, dw = rule(traces, w, *signals)
        return (traces, w + dw), w + dw

    return jax.lax.scan(step, (rule.init_traces(w, pre.shape[1:]), w), (pre, post))[1]


DEPENDENCE = {
    "power law": (
        js.learning.PowerLaw(-1.0, w_max=2.0, mu_plus=0.5, mu_minus=1.0),
        lambda w: ((2 - w) / 3) ** 0.5,
        lambda w: (w + 1) / 3,
    ),
    "proportional": (js.learning.Proportional(), lambda w: w, lambda w: w),
    "additive": (js.learning.Additive(), lambda w: 1, lambda w: 1),
}


@pytest.mark.parametrize("name", DEPENDENCE)
def test_a_change_is_scaled_by_the_weight(name):
    dependence, f_plus, f_minus = DEPENDENCE[name]
    plus = total(RULE.replace(a_minus=0.0), W, PRE[:8], POST[:8]) / 100
    minus = total(RULE.replace(a_plus=0.0), W, PRE[:8], POST[:8]) / 100
    rule = RULE.replace(a_plus=0.007, a_minus=0.005, weight_dependence=dependence)
    got = total(rule, W, PRE[:8], POST[:8])
    np.testing.assert_allclose(got, f_plus(W) * plus + f_minus(W) * minus, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "dependence",
    [
        js.learning.Additive(0.1, w_max=0.9),
        js.learning.PowerLaw(0.1, w_max=0.9, mu_plus=0.3, mu_minus=0.3),
    ],
)
def test_weights_stay_within_their_bounds(dependence):
    w = learn(RULE.replace(weight_dependence=dependence), W, PRE, POST)
    assert np.all(np.isfinite(w))
    assert 0.1 - 1e-7 <= w.min() < 0.1 + 1e-6
    assert 0.9 + 1e-7 >= w.max() > 0.9 - 1e-6
    one_sided = js.learning.Additive(w_max=0.9)
    w = learn(RULE.replace(weight_dependence=one_sided), W, PRE, POST)
    assert w.max() < 0.9 + 1e-6
    assert w.min() < -0.1


# ---- homeostasis


def test_normalized_weights_sum_to_the_total():
    w = W.at[:, 2].set(0).at[0].multiply(-1)
    got = js.learning.normalize(w, 3.0)
    np.testing.assert_allclose(np.abs(got).sum(0), [3, 3, 0, 3, 3], rtol=1e-6)
    np.testing.assert_allclose(got[1] / w[1], got[3] / w[3])
    kernel = LAYERS["Conv"][0].kernel[...]
    totals = jnp.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(
        np.abs(js.learning.normalize(kernel, totals)).sum((0, 1, 2)), totals, rtol=1e-5
    )
    np.testing.assert_allclose(np.abs(js.learning.normalize(w, 1.0, axis=1)).sum(1), 1, rtol=1e-6)


def test_scaling_follows_the_running_mean():
    rule, mean = RULES["scaling"], np.zeros((N, K))
    want, d = np.zeros((T, M, K)), np.exp(-1 / 5.0)
    for t in range(T):
        mean = d * mean + (1 - d) * POST[t]
        want[t] = W * 0.3 * (0.2 - mean).mean(0)
    np.testing.assert_allclose(run(rule, W, PRE, POST)[1], want, rtol=1e-4, atol=1e-6)


def test_scaling_brings_a_neuron_to_its_rate():
    rule = js.learning.SynapticScaling(0.2, tau=50.0, rate=0.02)
    lif, x = js.LIF(), jnp.ones((1, M))

    def step(carry, _):
        traces, w, state = carry
        state, z = lif(state, x @ w)
        traces, dw = rule(traces, w, x, z)
        return (traces, w + dw, state), z

    w = jnp.tile(jnp.array([[0.05, 0.1, 1.0, 4.0]]), (M, 1))  # two silent neurons, two busy ones
    carry = rule.init_traces(w, x.shape), w, lif.init_state((1, 4))
    _, z = jax.lax.scan(step, carry, length=3000)
    np.testing.assert_allclose(z[-1000:].mean((0, 1)), 0.2, atol=0.03)


# ---- refusals

TRACES = RULE.init_traces(W, (N, M))
LINEAR = "Give a layer that is linear in its weights and in its input, or an array [m, n]."


class Squared(nnx.Linear):
    def __call__(self, x):
        return super().__call__(x * x)


class LowRank(nnx.Module):
    def __init__(self):
        self.a, self.b = nnx.Linear(M, 2, rngs=RNGS), nnx.Linear(2, K, rngs=RNGS)

    def __call__(self, x):
        return self.b(self.a(x))


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        (js.nn.WSLinear(M, K, rngs=RNGS), "linear, got a WSLinear"),
        (Squared(M, K, rngs=RNGS), "linear, got a Squared"),
        (LowRank(), "linear, got a LowRank"),
        (nnx.Sequential(nnx.Linear(M, K, rngs=RNGS), nnx.relu), "linear, got a Sequential"),
        (nnx.BatchNorm(M, use_running_average=True, rngs=RNGS), "linear, got a BatchNorm"),
        (js.LIF(), "a layer with weights, got a LIF"),
        (nnx.relu, "a layer with weights, got a custom_jvp"),
        (None, "a layer with weights, got a NoneType"),
        (jnp.ones((M, K), int), "a layer with weights, got an array int32"),
    ],
)
def test_a_layer_that_is_not_linear_is_refused(layer, sentence):
    sentence = f"`STDP(layer=...)` must be {sentence}. {LINEAR}"
    raises(TypeError, sentence, RULE.init_traces, layer, (N, M))


def test_shapes_that_do_not_fit_are_refused():
    fix = "those of `rule.init_traces(layer, pre.shape)`"
    raises(
        ValueError,
        f"`STDP(traces=...)` must be {fix}, got STDPTraces(pre=(3, 4), post=(3, 5)).",
        *(RULE, TRACES, W, PRE[0, :2], POST[0, :2]),
    )
    raises(
        ValueError,
        f"`STDP(traces=...)` must be {fix}, got (3, 4).",
        *(RULE, RULES["post spike"].init_traces(W, (N, M)), W, PRE[0], POST[0]),
    )
    raises(
        ValueError,
        "`STDP(post=...)` must be [3, 5], got the shape (3, 4). "
        "Give the spikes of the neurons that the layer feeds.",
        *(RULE, TRACES, W, PRE[0], PRE[0]),
    )
    raises(
        ValueError,
        "`STDP(pre=...)` must be [N, features, ...], got the shape (4,).",
        *(RULE, TRACES, W, PRE[0, 0], POST[0, 0]),
    )
    raises(
        TypeError,
        "`STDP(pre=...)` must be floating point, got complex64. Convert it first.",
        *(RULE, TRACES, W, PRE[0] * 1j, POST[0]),
    )


@pytest.mark.parametrize(
    ("kind", "fields", "sentence"),
    [
        (
            js.learning.STDP,
            {"tau_plus": 0.0},
            "`STDP(tau_plus=...)` must be greater than 0, got 0.0.",
        ),
        (
            js.learning.STDP,
            {"pairing": "none"},
            "`STDP(pairing=...)` must be one of ('all', 'nearest'), got 'none'.",
        ),
        (
            js.learning.STDP,
            {"reduction": "max"},
            "`STDP(reduction=...)` must be one of ('sum', 'mean'), got 'max'.",
        ),
        (
            js.learning.Additive,
            {"w_min": 1.0, "w_max": 0.0},
            "`Additive(w_max=...)` must be greater than 1, got 0.0.",
        ),
        (
            js.learning.PowerLaw,
            {"mu_plus": 2.0},
            "`PowerLaw(mu_plus=...)` must be between 0 and 1, got 2.0.",
        ),
    ],
)
def test_fields_out_of_range_are_refused(kind, fields, sentence):
    raises(ValueError, sentence, kind, **fields)


def test_other_refusals():
    sentence = (
        "`STDP(weight_dependence=...)` must be a WeightDependence, got (0.0, 1.0). "
        "Give an instance of `WeightDependence`."
    )
    raises(TypeError, sentence, js.learning.STDP, weight_dependence=(0.0, 1.0))
    sentence = "`normalize(w=...)` must be floating point, got int32. Convert it first."
    raises(TypeError, sentence, js.learning.normalize, jnp.ones((2, 2), int), 1.0)
    sentence = "`normalize(total=...)` must be greater than 0, got 0.0."
    raises(ValueError, sentence, js.learning.normalize, W, 0.0)
