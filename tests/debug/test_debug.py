"""Firing rates, numbers that are not finite, and weights that make a network fire."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxspike as js

T, N = 8, 4


def linear(n, m, **kwargs):
    return nnx.Linear(n, m, rngs=nnx.Rngs(0), **kwargs)


# ---- firing rates


@pytest.fixture(scope="module")
def report():
    # they fire at every step, every second, every fourth, never; negative spikes are spikes
    x = jnp.broadcast_to(jnp.array([1.0, 0.5, 0.25, 0.0]), (T, N, 4))
    graded = linear(4, 2, kernel_init=nnx.initializers.constant(0.3), use_bias=False)
    always, silent = js.IF(v_threshold=1e-3), js.IF(v_threshold=1e3)
    net = js.nn.Sequential(
        js.IF(), jnp.negative, js.TernaryIF(), jnp.negative, graded, js.LI(), always, silent
    )
    return js.debug.firing_rates(net, net.init_state((N, 4)), x)


def test_rates_are_means_of_spikes(report):
    assert list(report.layers) == ["0", "2", "6", "7"]
    first = report.layers["0"]
    assert first == report.layers["2"]
    assert first == js.debug.LayerRate(rate=0.4375, silent=0.25, saturated=0.25, neurons=4)
    assert report.layers["6"] == js.debug.LayerRate(1.0, 0.0, 1.0, 2)
    assert report.layers["7"] == js.debug.LayerRate(0.0, 1.0, 0.0, 2)


def test_silent_and_saturated_layers_are_named(report):
    assert (report.silent, report.saturated, report.graded) == (("7",), ("6",), ("5",))
    assert str(report) == repr(report)
    assert str(report).splitlines() == [
        "layer  neurons    rate  silent  saturated",
        "0            4  43.75%   25.0%      25.0%",
        "2            4  43.75%   25.0%      25.0%",
        "6            2 100.00%    0.0%     100.0%  SATURATED",
        "7            2   0.00%  100.0%       0.0%  SILENT",
        "not spikes but graded outputs: 5",
    ]


def test_the_limits_are_arguments_and_layers_can_be_chosen():
    x = jnp.broadcast_to(jnp.array([0.5, 0.25]), (T, N, 2))
    net = js.nn.Sequential(js.IF(), js.LIF())
    state = net.init_state((N, 2))
    found = js.debug.firing_rates(net, state, x, layers=["0"], silent=0.4, saturated=0.45)
    assert dict(found.layers) == {"0": js.debug.LayerRate(0.375, 0.5, 0.5, 2)}
    assert found.silent == ("0",)
    assert found.saturated == ()


class TwoInputs(js.nn.SpikingModule):
    def __init__(self):
        self.linear, self.lif = linear(2, 2, kernel_init=nnx.initializers.ones), js.IF()

    def __call__(self, state, x):
        lif, y = self.lif(state["lif"], self.linear(x["a"]) + x["b"])
        return {"lif": lif}, y


def test_inputs_in_a_dictionary():
    net, x_seq = TwoInputs(), {"a": jnp.full((T, N, 2), 0.1875), "b": jnp.full((T, N, 2), 0.125)}
    state = net.init_state({"a": (N, 2), "b": (N, 2)})
    assert js.debug.firing_rates(net, state, x_seq).layers["lif"].rate == 0.5
    bad = {**x_seq, "b": x_seq["b"].at[3].set(jnp.nan)}
    assert js.debug.first_nonfinite(net, state, bad)["lif"]["v"] == 3
    scaled = js.train.scale_to_firing_rate(net, x_seq, rate=0.25)
    assert scaled.linear.kernel[0, 0] < 1
    with pytest.raises(ValueError, match="must be a sequence"):
        js.debug.firing_rates(net, state, {"a": x_seq["a"][0], "b": x_seq["b"][0]})


@pytest.mark.parametrize(
    ("call", "kind", "sentence"),
    [
        (
            lambda net, s, x: js.debug.firing_rates(net, s, x, silent=0.5, saturated=0.5),
            ValueError,
            "`firing_rates(silent=...)` must be at least 0 and less than 0.5, `saturated`, got "
            "0.5.",
        ),
        (
            lambda net, s, x: js.debug.firing_rates(net, s, x[0]),
            ValueError,
            "`firing_rates(state=..., x_seq=...)` must be a sequence `[T, N, *]` and the state for "
            "one of its steps, got the shape (4, 2). Give `net.init_state((2,))` and a time axis.",
        ),
        (
            lambda net, s, x: jax.jit(lambda x: js.debug.firing_rates(net, s, x))(x),
            TypeError,
            "`firing_rates` must be called outside of `jit`: it looks at values. "
            "Inside, use `record` and take means.",
        ),
        (
            lambda net, s, x: nnx.jit(lambda net: js.debug.check_finite(net, s, x))(net),
            TypeError,
            "`check_finite` must be called outside of `jit`: it looks at values. "
            "Inside, use `first_nonfinite`.",
        ),
        (
            lambda net, s, x: js.debug.check_finite(net, s, x[:, 0]),
            ValueError,
            "`check_finite(state=..., x_seq=...)` must be a sequence `[T, N, *]` and the state for "
            "one of its steps, got the shape (8, 2). Give `net.init_state((2,))` and a time axis.",
        ),
        (
            lambda net, s, x: js.debug.firing_rates(js.LIF(), s, x),
            TypeError,
            "`firing_rates(net=...)` must be a SpikingModule, got a LIF. For a neuron or a "
            "function, scan a step that returns `(state, (spikes, state.v))`.",
        ),
        (
            lambda net, s, x: js.train.scale_to_firing_rate(net, x, rate=1.0),
            ValueError,
            "`scale_to_firing_rate(rate=...)` must be greater than 0 and less than 1, got 1.0.",
        ),
        (
            lambda net, s, x: nnx.jit(lambda net: js.train.scale_to_firing_rate(net, x))(net),
            TypeError,
            "`scale_to_firing_rate` must be called outside of `jit`: it looks at values. "
            "Inside, use the network that it returned.",
        ),
        (
            lambda net, s, x: js.train.scale_to_firing_rate(
                js.nn.Sequential(linear(2, 2), js.LI()), x
            ),
            ValueError,
            "`scale_to_firing_rate(net=...)` must have neurons that spike behind weights, got "
            "a Sequential without.",
        ),
        (
            lambda net, s, x: js.train.scale_to_firing_rate(net, -x, rate=0.3),
            ValueError,
            "`scale_to_firing_rate(rate=...)` must be within reach of layer 1, got 0.3: "
            "with weights scaled by 2^0 to 2^24 it comes to 0. Ask for less, or look at its "
            "input in `jaxspike.debug.record`.",
        ),
        (  # its own input is zero: the first layer, behind no weights, is to blame
            lambda net, s, x: js.train.scale_to_firing_rate(
                js.nn.Sequential(js.IF(v_threshold=1e3), linear(2, 2), js.IF()), x, rate=0.3
            ),
            ValueError,
            "`scale_to_firing_rate(rate=...)` must be within reach of layer 2, got 0.3: "
            "with weights scaled by 2^0 to 2^24 it comes to 0. Layer 0, before it, does not fire: "
            "give that one more input.",
        ),
    ],
)
def test_errors(call, kind, sentence):
    ones = linear(2, 2, kernel_init=nnx.initializers.ones)
    net = js.nn.Sequential(ones, js.IF())
    with pytest.raises(kind) as error:
        call(net, net.init_state((N, 2)), jnp.ones((T, N, 2)))
    assert str(error.value) == sentence


# ---- finite


def test_a_nan_is_found_where_and_when_it_appears():
    x = jnp.ones((T, N, 2)).at[5, 1, 0].set(jnp.inf)
    net = js.nn.Sequential(js.IF(), js.ALIF(), linear(2, 3), js.LIF())
    net.layers[2].bias[...] = jnp.array([0.0, jnp.nan, 0.0])
    state = net.init_state((N, 2))
    found = nnx.jit(lambda net, x: js.debug.first_nonfinite(net, state, x))(net, x)
    assert {layer: {k: int(v) for k, v in steps.items()} for layer, steps in found.items()} == {
        "0": {"input": 5, "v": 5, "output": -1},  # spikes hide it: inf * 0 is NaN in the reset
        "1": {"input": -1, "v": -1, "a": -1, "output": -1},
        "3": {"input": 0, "v": 0, "output": -1},
    }
    with pytest.raises(FloatingPointError) as error:
        js.debug.check_finite(net, state, x)
    assert str(error.value) == (
        "`check_finite` found numbers that are not finite:\n"
        "  layer 3: input from time step 0, v from time step 0.\n"
        "  layer 0: input from time step 5, v from time step 5.\n"
        "Look at what comes before that layer first."
    )
    net.layers[2].bias[...] = jnp.zeros(3)
    js.debug.check_finite(net, state, jnp.ones((T, N, 2)))


# ---- scale_to_firing_rate


def rates(net, x):
    return js.debug.firing_rates(net, net.init_state(x.shape[1:]), x)


def test_ten_silent_layers_fire_at_the_rate_asked_for():
    rngs, x = nnx.Rngs(0), jax.random.uniform(jax.random.key(0), (10, 8, 32))
    pairs = [(nnx.Linear(32, 32, rngs=rngs), js.LIF()) for _ in range(10)]
    net = js.nn.Sequential(*(layer for pair in pairs for layer in pair))
    before = rates(net, x)
    assert len(before.silent) >= 8
    fired = rates(js.train.scale_to_firing_rate(net, x, rate=0.15), x)
    assert [abs(layer.rate - 0.15) < 0.01 for layer in fired.layers.values()] == [True] * 10
    assert rates(net, x).layers == before.layers  # the network itself stays as it is


class Block(js.nn.SpikingModule):
    """Convolutions and normalizations whose names say nothing about their order."""

    def __init__(self, rngs):
        self.z, self.y = (nnx.Conv(4, 4, (3, 3), rngs=rngs) for _ in range(2))
        self.norm, self.b, self.a = nnx.BatchNorm(4, rngs=rngs), js.LIF(), js.IF()

    def __call__(self, state, x):
        b, y = self.b(state["b"], self.norm(self.z(x)))
        a, y = self.a(state["a"], self.y(y))
        return {"a": a, "b": b}, x + y


@pytest.fixture(scope="module")
def images():
    rngs, x = nnx.Rngs(1), jax.random.uniform(jax.random.key(0), (6, 4, 6, 6, 4))
    recurrent = js.nn.Recurrent(js.LIF(), nnx.Linear(16, 16, rngs=rngs))
    dense = js.nn.Flatten(), nnx.Linear(144, 16, rngs=rngs), recurrent, nnx.Linear(16, 3, rngs=rngs)
    net = js.nn.Sequential(js.IF(v_threshold=2.0), Block(rngs), *dense, js.LI())
    return net, js.train.scale_to_firing_rate(net, x, rate=0.1), x


def test_user_written_classes_with_normalization_and_recurrence(images):
    net, fired, x = images
    report, first = rates(fired, x), rates(net, x)
    assert list(report.layers) == ["0", "1.b", "1.a", "4.neuron"]
    assert report.layers["0"] == first.layers["0"]  # no weights before it
    for name in ("1.b", "1.a", "4.neuron"):
        assert abs(report.layers[name].rate - 0.1) < 0.01
        assert abs(first.layers[name].rate - 0.1) > 0.01


def test_one_factor_a_layer_and_nothing_else_is_changed(images):
    net, fired, _ = images
    before, after = (nnx.to_flat_state(nnx.state(n, nnx.Param)) for n in (net, fired))
    factors = {}
    for (path, a), (_, b) in zip(before, after, strict=True):
        a, b = np.asarray(a[...]), np.asarray(b[...])
        ratio = np.unique(np.round(b[a != 0] / a[a != 0], 4))
        np.testing.assert_array_equal(b[a == 0], 0)
        assert len(ratio) == (path[-1] != "bias")  # which starts at zero
        factors |= {".".join(map(str, path[1:-1])): f for f in ratio}
    assert factors["1.z"] == factors["5"] == 1.0
    assert factors["3"] == factors["4.feedback"]
    assert 1.0 not in (factors["1.norm"], factors["1.y"], factors["3"])
    assert nnx.graphdef(fired) == nnx.graphdef(net)
    stats = [nnx.state(n, nnx.BatchStat) for n in (net, fired)]
    jax.tree.map(np.testing.assert_array_equal, *stats)


def test_scaling_reaches_into_attention():
    rngs = nnx.Rngs(0)
    net = js.nn.Sequential(js.nn.SpikingSelfAttention(16, 2, rngs=rngs), linear(16, 4), js.LIF())
    net.eval()
    x_seq = jax.random.bernoulli(jax.random.key(0), 0.05, (6, 8, 9, 16)).astype(jnp.float32)
    before = net[0].product.scale[...]
    state = net.init_state(x_seq.shape[1:])
    assert not net[0](state[0], x_seq)[1].any()
    scaled = js.train.scale_to_firing_rate(net, x_seq, rate=0.2)
    assert scaled[0].product.scale[...] > before == net[0].product.scale[...] == 0.125
    report = js.debug.firing_rates(scaled, state, x_seq)
    assert list(report.layers) == ["0.qkv_lif", "0.attn_lif", "0.proj_lif", "2"]
    assert all(0.1 < layer.rate < 0.3 for layer in report.layers.values())
