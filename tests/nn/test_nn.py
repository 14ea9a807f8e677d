"""Layers: a sequence call equals a scan of steps, and parameters live where Flax expects them."""

import copy
import math
import pickle
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxspike as js

T, N, C = 5, 3, 8


def stream(*shape, seed=0):
    return 4 * jax.random.normal(jax.random.key(seed), (T, N, *shape))


class Residual(js.nn.SpikingModule):
    """A composite with a skip, a layer of its own state, and a neuron as an attribute."""

    def __init__(self, rngs):
        self.linear = nnx.Linear(C, C, rngs=rngs)
        self.lif = js.LIF(v_threshold=jnp.linspace(0.5, 1.0, C))
        self.recurrent = js.nn.Recurrent(js.IF(), nnx.Linear(C, C, rngs=rngs))

    def __call__(self, state, x):
        lif, y = self.lif(state["lif"], self.linear(x))
        recurrent, z = self.recurrent(state["recurrent"], y)
        return {"lif": lif, "recurrent": recurrent}, y + z


class Trace(js.nn.SpikingModule):
    """A module with a state of its own, which may compute with it."""

    def init_state(self, shape, dtype=jnp.float32):
        return jnp.zeros(shape, dtype)

    def __call__(self, state, x):
        state = 0.5 * state + x
        return state, state


RNGS = nnx.Rngs(0)
IMAGE = (8, 8, 4)
LAYERS = {
    "Spiking": (js.nn.Spiking(js.LIF(), learn=("tau",)), (C,)),
    "Sequential": (js.nn.Sequential(nnx.Linear(C, 6, rngs=RNGS), js.IF(), js.LI()), (C,)),
    "nested": (
        js.nn.Sequential(js.nn.Sequential(nnx.Linear(C, C, rngs=RNGS), js.LI()), Residual(RNGS)),
        (C,),
    ),
    "Residual": (Residual(RNGS), (C,)),
    "Recurrent": (js.nn.Recurrent(js.LIF(), nnx.Linear(C, C, rngs=RNGS)), (C,)),
    "own state": (Trace(), (C,)),
    "state space": (js.nn.SpikingS4D(C, 3, dt_min=0.1, dt_max=0.5, rngs=RNGS), (C,)),
    "dendrites": (js.nn.DHLIF(C, 5, 3, v_threshold=0.1, rngs=RNGS), (C,)),
    "fold_time": (js.nn.fold_time(nnx.GroupNorm(4, num_groups=2, rngs=RNGS)), IMAGE),
    "fold_time of a function": (js.nn.fold_time(lambda x: x.mean((1, 2))), IMAGE),
    "images": (
        js.nn.Sequential(
            nnx.Conv(4, 6, (3, 3), rngs=RNGS),
            nnx.BatchNorm(6, rngs=RNGS),
            js.IF(),
            js.nn.fold_time(nnx.InstanceNorm(6, rngs=RNGS)),
            js.nn.AvgPool((2, 2)),
            js.nn.MaxPool((3, 3), (1, 1), "SAME"),
            js.nn.Flatten(),
            js.nn.Dropout(0.5, rngs=RNGS),
            nnx.LayerNorm(96, rngs=RNGS),
            js.nn.QCFS(levels=8),
            js.LI(),
            js.nn.Voting(2),
        ),
        IMAGE,
    ),
    "more images": (
        js.nn.Sequential(
            js.nn.WSConv(4, 6, (3, 3), rngs=RNGS),
            js.nn.ThresholdDependentBatchNorm(6, rngs=RNGS),
            js.nn.TemporalEffectiveBatchNorm(6, T, rngs=RNGS),
            js.nn.BatchNormThroughTime(6, T),
            js.IF(),
            js.nn.NeuNorm((8, 8, 6), rngs=RNGS),
            js.nn.Upsample((2, 2), "linear"),
            js.nn.AdaptiveAvgPool((3, 2)),
            js.nn.Flatten(),
            js.nn.WSLinear(36, C, rngs=RNGS),
            js.nn.DropConnectLinear(C, C, rngs=RNGS),
        ),
        IMAGE,
    ),
    "recurrent layers": (
        js.nn.Sequential(
            js.nn.SpikingGRU(C, 6, rngs=RNGS),
            js.nn.SpikingLSTM(6, C, rngs=RNGS),
            js.nn.Recurrent(
                js.nn.Sequential(nnx.Linear(C, 5, rngs=RNGS), js.LI()),
                nnx.Linear(5, C, rngs=RNGS),
                combine=jnp.subtract,
            ),
        ),
        (C,),
    ),
    "blocks": (
        js.nn.Sequential(
            js.nn.SparseLinear(C, C, fan_in=3, rngs=RNGS),
            js.nn.Residual(js.nn.Sequential(nnx.Linear(C, C, rngs=RNGS), js.IF(v_threshold=0.5))),
            js.nn.Residual(js.LIF(), nnx.Linear(C, C, rngs=RNGS), lambda a, b: (1 - a) * b),
            js.nn.Parallel(js.IF(), js.LIF(tau=3.0), nnx.Linear(C, 2, rngs=RNGS)),
        ),
        (C,),
    ),
    "stateful feedback": (
        js.nn.Recurrent(
            js.nn.Sequential(nnx.Linear(C, 5, rngs=RNGS), js.IF(v_threshold=0.5)),
            js.nn.Sequential(js.Delay(2), nnx.Linear(5, C, rngs=RNGS), js.SynapseFilter(tau=3.0)),
        ),
        (C,),
    ),
    "delays": (js.nn.Delayed(nnx.Linear(C, 5, rngs=RNGS), max_delay=3, rngs=RNGS), (C,)),
    "plastic": (
        js.nn.Plastic(nnx.Linear(C, 5, rngs=RNGS), js.IF(v_threshold=0.5), js.learning.STDP()),
        (C,),
    ),
    "tokens": (
        js.nn.Sequential(
            js.nn.SpikingSelfAttention(
                C, 2, neuron=js.IF(v_threshold=0.3), attention_neuron=js.IF(), rngs=RNGS
            ),
            js.nn.TokenQKAttention(C, 2, neuron=js.IF(v_threshold=0.3), rngs=RNGS),
            js.nn.ChannelQKAttention(C, neuron=js.IF(v_threshold=0.3), rngs=RNGS),
            js.nn.SpikeDrivenSelfAttention(C, neuron=js.IF(v_threshold=0.3), rngs=RNGS),
        ),
        (6, C),
    ),
}
WHOLE_SEQUENCES = {"Bidirectional", "MultiDimensionalAttention", "TemporalWiseAttention"}


@pytest.mark.parametrize(("layer", "shape"), LAYERS.values(), ids=LAYERS.keys())
def test_a_sequence_equals_a_scan_of_steps(layer, shape):
    layer.eval()
    xs, state = stream(*shape), layer.init_state((N, *shape))

    @jax.jit
    def both(state, xs):
        return layer(state, xs), js.scan(layer, state, xs, order="step")

    (last, ys), (last_step, ys_step) = both(state, xs)
    np.testing.assert_allclose(ys, ys_step, rtol=1e-5, atol=1e-5)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5), last, last_step)
    assert np.any(ys[0] != ys[-1])
    new, y = layer(state, xs[0])
    np.testing.assert_allclose(y, ys[0], rtol=1e-5, atol=1e-5)
    assert jax.tree.structure(new) == jax.tree.structure(state)


def test_the_table_has_every_layer():
    used = {type(m).__name__ for layer, _ in LAYERS.values() for _, m in nnx.iter_modules(layer)}
    public = {
        k for k, v in vars(js.nn).items() if isinstance(v, type) and issubclass(v, nnx.Module)
    }
    assert public - {"SpikingModule"} - WHOLE_SEQUENCES <= used


# ---- Spiking


def test_a_learned_field_is_a_param_that_cannot_leave_its_range():
    layer = js.nn.Spiking(js.LIF(tau=3.0), learn=("tau", "v_reset"))
    assert set(nnx.state(layer, nnx.Param)) == {"tau_raw", "v_reset_raw"}
    np.testing.assert_allclose(layer.tau_raw[...], np.log(2.0), rtol=1e-6)
    np.testing.assert_allclose(layer.neuron.tau, 3.0, rtol=1e-6)
    layer.tau_raw[...] = jnp.float32(-50.0)
    assert layer.neuron.tau >= 1.0
    assert layer.v_reset_raw[...] == 0.0


def test_the_gradient_of_a_learned_field_is_the_chain_rule():
    xs = stream(C)
    layer = js.nn.Spiking(js.LIF(tau=3.0), learn=("tau",))
    state = layer.init_state((N, C))
    raw = nnx.grad(lambda layer: layer(state, xs)[1].sum())(layer)["tau_raw"][...]
    direct = jax.grad(lambda n: js.scan(n, state, xs)[1].sum())(js.LIF(tau=3.0)).tau
    np.testing.assert_allclose(raw, direct * 2.0, rtol=1e-4)  # d tau / d raw = tau - 1


def test_fields_that_are_not_learned_are_constants_under_jax_grad():
    layer = js.nn.Spiking(js.LIF(v_threshold=jnp.full(C, 0.9)), learn=("tau",))
    assert type(layer.v_threshold) is js.nn.Constant
    xs, state = stream(C), layer.init_state((N, C))
    grads = nnx.state(jax.grad(lambda layer: layer(state, xs)[1].sum())(layer))
    assert grads["tau_raw"][...] != 0
    assert not np.any(grads["v_threshold"][...])


def test_equal_neurons_are_traced_once_for_their_states():
    traces = []

    class Counted(js.Neuron):
        v_threshold: float = 1.0

        def init_state(self, shape, dtype=jnp.float32):
            return jnp.zeros(shape, dtype)

        def step(self, state, x):
            traces.append(x.shape)
            return state, x * self.v_threshold

    class Shifted(js.nn.Spiking):
        def __call__(self, state, x):
            state, y = super().__call__(state, x)
            return state, y[..., :-1]

    net = js.nn.Sequential(*[Counted()] * 5, Shifted(Counted()), Counted())
    shapes = [a.shape for a in net.init_state((N, C))]
    assert shapes == [(N, C)] * 6 + [(N, C - 1)]
    assert traces[0] == (N, C) and traces.count((N, C - 1)) == 1
    assert len(traces) < 6


def test_numbers_and_static_arrays_of_a_neuron_may_decide_in_python():
    class Own(js.Neuron):
        tau: float = 2.0
        pattern: object = js.field.static(default=None)

        def init_state(self, shape, dtype=jnp.float32):
            return jnp.full(shape, float(self.tau), dtype)

        def step(self, state, x):
            y = x if self.tau > 1 else -x
            return state, y if self.pattern is None else y * float(self.pattern.sum())

    for patterns, product in (((None, None), 1.0), ((np.ones(3), np.ones(2)), 6.0)):
        net = js.nn.Sequential(*[Own(pattern=p) for p in patterns])
        _, y = net(net.init_state((N, C)), jnp.ones((N, C)))
        np.testing.assert_array_equal(y, product)


def test_an_array_can_be_annealed_without_a_retrace():
    layer = js.nn.Spiking(js.LIF(surrogate=js.surrogate.ATan(alpha=jnp.float32(2.0))))
    xs, state, traces = stream(C), layer.init_state((N, C)), []

    @nnx.jit
    def gradient(layer):
        traces.append(1)
        return jax.grad(lambda xs: layer(state, xs)[1].sum())(xs)

    first = gradient(layer)
    layer.surrogate_alpha[...] = jnp.float32(4.0)
    assert np.any(gradient(layer) != first)
    assert len(traces) == 1


def test_layers_of_equal_structure_have_equal_graphs():
    def build(seed):
        rngs = nnx.Rngs(seed)
        lif = js.nn.Spiking(js.LIF(), learn=("tau",))
        return js.nn.Sequential(nnx.Linear(C, C, rngs=rngs), lif, js.IF(v_threshold=jnp.ones(C)))

    a, b = nnx.graphdef(build(0)), nnx.graphdef(build(1))
    assert a == b
    assert hash(a) == hash(b)


def test_per_channel_and_whole_network_learning():
    layer = js.nn.Spiking(js.LIF(tau=jnp.linspace(2.0, 4.0, C)), learn="tau")
    assert layer.tau_raw[...].shape == (C,)
    xs, state = stream(C), layer.init_state((N, C))
    g = nnx.grad(lambda layer: layer(state, xs)[1].sum())(layer)["tau_raw"][...]
    assert np.all(g != 0)


# ---- state


def test_init_state_leaves_the_network_alone():
    net = LAYERS["images"][0]
    net.train()
    before = jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(net, nnx.BatchStat)))
    net.init_state((N, *IMAGE))
    assert not net.layers[7].deterministic
    after = nnx.to_pure_dict(nnx.state(net, nnx.BatchStat))
    jax.tree.map(np.testing.assert_array_equal, before, after)
    net.eval()


def test_init_state_under_jit_and_in_other_dtypes():
    net = LAYERS["nested"][0]
    state = jax.jit(lambda: net.init_state((N, C)))()
    assert jax.tree.structure(state) == jax.tree.structure(net.init_state((N, C)))
    half = net.init_state((N, C), jnp.bfloat16)
    assert {leaf.dtype for leaf in jax.tree.leaves(half)} == {jnp.dtype("bfloat16")}
    assert js.nn.Spiking(js.IF(v_reset=-0.5)).init_state((2,)).v.tolist() == [-0.5, -0.5]


def test_init_state_of_weights_in_another_dtype():
    linear = nnx.Linear(C, C, param_dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    net = js.nn.Sequential(linear, js.LIF(v_threshold=0.1))
    state = net.init_state((N, C), jnp.bfloat16)  # dtypes are not promoted implicitly here
    state, y = net(state, stream(C).astype(jnp.bfloat16))
    assert y.dtype == jnp.bfloat16 and y.any()


def test_mixed_precision():
    net = js.nn.Sequential(
        nnx.Linear(C, C, dtype=jnp.bfloat16, rngs=nnx.Rngs(0)),
        js.nn.Recurrent(js.LIF(), nnx.Linear(C, C, dtype=jnp.bfloat16, rngs=nnx.Rngs(1))),
    )
    state, y = net(net.init_state((N, C)), stream(C).astype(jnp.bfloat16))
    assert y.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(state)} == {jnp.dtype("float32")}


# ---- Dropout


def test_dropout_draws_one_mask_for_the_sequence():
    layer = js.nn.Dropout(0.25, rngs=nnx.Rngs(0))
    ones, state = jnp.ones((T, 50, 40)), layer.init_state((50, 40))
    _, y = layer(state, ones)
    np.testing.assert_array_equal(y, jnp.broadcast_to(y[0], y.shape))
    np.testing.assert_allclose(np.unique(y), [0, 1 / 0.75], rtol=1e-6)
    assert abs((y == 0).mean() - 0.25) < 0.03
    assert np.any(layer(state, ones)[1] != y)  # another call, another mask
    layer.eval()
    np.testing.assert_array_equal(layer(state, ones)[1], ones)
    np.testing.assert_array_equal(layer(state, ones[0])[1], ones[0])


def test_dropout_takes_any_source_of_keys():
    ones = jnp.ones((T, N, C))
    for rngs in (nnx.Rngs(dropout=1), nnx.Rngs(1), nnx.Rngs(dropout=1).dropout):
        layer = js.nn.Dropout(0.5, rngs=rngs)
        assert np.any(layer(layer.init_state((N, C)), ones)[1] == 0)


# ---- fold_time


def test_fold_time_adds_no_level_and_copies():
    norm = nnx.GroupNorm(4, num_groups=2, rngs=nnx.Rngs(0))
    folded = js.nn.fold_time(norm)
    assert set(nnx.state(folded)) == set(nnx.state(norm))
    folded.scale[...] = 2 * jnp.ones(4)
    np.testing.assert_array_equal(norm.scale[...], 1)
    assert isinstance(folded, nnx.GroupNorm)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_networks_can_be_copied_and_pickled(again):
    class_of_everything = LAYERS["Residual"][0]
    layer = js.nn.Sequential(js.nn.fold_time(nnx.GroupNorm(8, num_groups=2, rngs=nnx.Rngs(0))))
    for net in (class_of_everything, layer):
        state, xs = net.init_state((N, C)), stream(C)
        np.testing.assert_array_equal(again(net)(again(state), xs)[1], net(state, xs)[1])


# ---- Recurrent


def test_recurrent_feeds_back_its_last_output():
    linear = nnx.Linear(C, C, rngs=nnx.Rngs(0))
    layer, lif = js.nn.Recurrent(js.LIF(), linear), js.LIF()
    xs, y = stream(C), jnp.zeros((N, C))
    state, ys = lif.init_state((N, C)), []
    for x in xs:
        state, y = lif(state, x + linear(y))
        ys.append(y)
    np.testing.assert_array_equal(layer(layer.init_state((N, C)), xs)[1], jnp.stack(ys))
    assert 0.005 < jnp.stack(ys).mean() < 0.9


def test_recurrent_feedback_is_floating_for_integer_input():
    layer, xs = js.nn.Recurrent(js.LI(), lambda y: -y), jnp.round(stream(C)).astype(jnp.int32)
    state = layer.init_state((N, C))
    want = layer(state, xs.astype(jnp.float32))[1]
    np.testing.assert_array_equal(layer(state, xs)[1], want)


# ---- SpikingModule


class Gain(js.nn.SpikingModule):
    def init_state(self, shape, dtype=jnp.float32):
        return jnp.zeros(shape, dtype)

    def __call__(self, state, x, gain, *, shift=0.0):
        state = 0.5 * state + gain * x + shift
        return state, state


class Gained(js.nn.SpikingModule):
    def __init__(self):
        self.gain = Gain()

    def __call__(self, state, x):
        gain, y = self.gain(state["gain"], x, 3.0, shift=1.0)
        return {"gain": gain}, y


def test_more_arguments_reach_every_step_of_a_sequence():
    net, xs = Gained(), stream(C)
    state, steps = net.init_state((N, C)), []
    last = state
    for x in xs:
        last, y = net(last, x)
        steps.append(y)
    np.testing.assert_allclose(net(state, xs)[1], jnp.stack(steps), rtol=1e-6)


def test_a_subclass_that_overrides_the_step_overrides_the_sequence():
    class Twice(js.nn.Spiking):
        def __call__(self, state, x):
            state, y = super().__call__(state, x)
            return state, 2 * y

    layer, xs = Twice(js.LIF()), stream(C)
    state = layer.init_state((N, C))
    np.testing.assert_array_equal(layer(state, xs)[1], 2 * js.nn.Spiking(js.LIF())(state, xs)[1])


def test_a_block_can_be_rematerialised():
    class Remat(js.nn.SpikingModule):
        def __init__(self):
            self.block = Residual(nnx.Rngs(0))

        def __call__(self, state, x):
            block, y = nnx.remat(lambda block, state, x: block(state, x))(
                self.block, state["block"], x
            )
            return {"block": block}, y

    net, xs = Remat(), stream(C)
    state = net.init_state((N, C))
    want = net.block(state["block"], xs)[1]
    np.testing.assert_allclose(net(state, xs)[1], want, rtol=1e-6)
    grads = nnx.grad(lambda net: net(state, xs)[1].sum())(net)
    assert any(np.any(g != 0) for g in jax.tree.leaves(grads))


class Counter(nnx.Module):
    def __init__(self):
        self.calls = nnx.Variable(jnp.zeros((), jnp.int32))

    def __call__(self, x):
        self.calls[...] += 1
        return x


def test_init_state_writes_no_variable():
    net = js.nn.Sequential(Counter(), js.LIF())
    state = net.init_state((N, C))
    assert net.layers[0].calls[...] == 0
    net(state, stream(C))
    assert net.layers[0].calls[...] == 1


def test_the_same_layer_in_two_places_of_the_tree():
    shared = nnx.Linear(C, C, rngs=nnx.Rngs(0))
    net = js.nn.Sequential(shared, js.LIF(), shared, js.LIF())
    assert len(jax.tree.leaves(nnx.state(net, nnx.Param))) == 2
    _, y = net(net.init_state((N, C)), stream(C))
    assert y.mean() > 0


def test_dropout_keeps_a_source_of_its_own():
    rngs = nnx.Rngs(dropout=0)
    layer = js.nn.Dropout(0.5, rngs=rngs)
    count = int(rngs.dropout.count[...])
    layer(layer.init_state((N, C)), stream(C))
    assert int(rngs.dropout.count[...]) == count


def test_padding_of_pools():
    ones = jnp.ones((1, 2, 2, 1))
    np.testing.assert_allclose(
        js.nn.AvgPool((2, 2), padding=((1, 1), (1, 1)))(ones)[0, ..., 0], 0.25
    )
    assert js.nn.MaxPool((2, 2), padding="SAME")(jnp.ones((1, 3, 3, 1))).shape == (1, 2, 2, 1)


def by_hand(net, order):
    """The loss of the three blocks, written with `jax.lax.scan`, and by the layers."""
    state, xs = net.init_state((N, C)), 2 * stream(C)

    def written(net):
        residual, parallel, recurrent = net
        linear = residual.branch[0]
        lif, slow = parallel[0].neuron, parallel[1].neuron
        inner, weights = recurrent.neuron.neuron, recurrent.feedback[1]

        def step(state, x):
            a, b, c, d, last = state
            a, y = js.IF(v_threshold=0.5)(a, linear(x))
            x = x + y
            (b, fast), (c, late) = lif(b, x), slow(c, x)
            x = jnp.concatenate((fast, late), -1)
            d, z = inner(d, x + weights(last[1]))  # two steps ago, and one for the loop
            return (a, b, c, d, (z, last[0])), z

        zeros = jnp.zeros((N, 2 * C))
        rest = [js.IF().init_state((N, C)), lif.init_state((N, C)), slow.init_state((N, C))]
        rest = (*rest, inner.init_state((N, 2 * C)), (zeros, zeros))
        return jax.lax.scan(step, rest, xs)[1]

    def layers(net):
        return net(state, xs)[1] if order == "layer" else js.scan(net, state, xs, order=order)[1]

    return written, layers


@pytest.mark.parametrize("order", ["layer", "step"])
def test_blocks_are_the_loops_written_by_hand(order):
    rngs = nnx.Rngs(0)
    net = js.nn.Sequential(
        js.nn.Residual(js.nn.Sequential(nnx.Linear(C, C, rngs=rngs), js.IF(v_threshold=0.5))),
        js.nn.Parallel(js.LIF(), js.LIF(tau=3.0)),
        js.nn.Recurrent(
            js.LIF(v_threshold=0.3),
            js.nn.Sequential(js.Delay(1), nnx.Linear(2 * C, 2 * C, rngs=rngs)),
        ),
    )
    weights = jax.random.normal(jax.random.key(3), (T, N, 2 * C))

    @nnx.jit
    def both(net):
        written, layers = by_hand(net, order)

        def loss(f):
            return nnx.value_and_grad(lambda net: ((f(net) * weights).sum(), f(net)), has_aux=True)

        return loss(written)(net), loss(layers)(net)

    ((_, want), grad_want), ((_, got), grad) = both(net)
    np.testing.assert_array_equal(got, want)
    assert 0 < want.mean() < 0.9
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), grad, grad_want)
    assert all(np.any(g != 0) for g in jax.tree.leaves(grad))


def test_a_sequential_is_a_list_of_layers():
    linear = nnx.Linear(C, C, rngs=nnx.Rngs(0))
    net = js.nn.Sequential(linear, js.IF(), js.LIF(), js.LI())
    assert len(net) == 4 and net[0] is linear and [*net] == [*net.layers]
    assert net[-1] is net.layers[3]
    part = net[1:3]
    assert isinstance(part, js.nn.Sequential) and [*part] == [net[1], net[2]]
    for assigned in (net, net.layers):
        assigned[1] = js.LIF(tau=4.0)
        assert isinstance(net[1], js.nn.Spiking) and net[1].neuron.tau == 4
        assigned[1] = jnp.tanh
    net.layers[1:2] = [js.IF(v_threshold=2.0)]
    net.layers.append(js.ALIF())
    net(net.init_state((N, C)), stream(C))
    assert [type(layer.neuron) for layer in net[1:]] == [js.IF, js.LIF, js.LI, js.ALIF]
    with pytest.raises(TypeError, match="must be layers, got 3"):
        net[0] = 3
    with pytest.raises(TypeError, match="must keep time steps apart"):
        net[0] = nnx.GroupNorm(C, num_groups=2, rngs=nnx.Rngs(0))
    twin = js.nn.Parallel(js.IF(), js.LIF())
    assert len(twin) == 2 and [type(layer.neuron) for layer in twin] == [js.IF, js.LIF]
    assert not len(js.nn.Sequential()) and js.nn.Sequential()


def pooled(x, window, strides, padding, ceil_mode, count_include_pad=None):
    """PyTorch's pools of ``[..., H, W, C]``, one window after the other; max if not counting."""
    rounded = math.ceil if ceil_mode else math.floor
    starts, ends = [], []
    for n, w, s, p in zip(x.shape[-3:-1], window, strides, padding, strict=True):
        size = rounded((n + 2 * p - w) / s) + 1
        size -= ceil_mode and (size - 1) * s >= n + p  # a window must start in the image
        starts.append([i * s - p for i in range(size)])
        ends.append([min(i * s - p + w, n + p) for i in range(size)])
    out = np.zeros((*x.shape[:-3], *map(len, starts), x.shape[-1]), x.dtype)
    for i, j in np.ndindex(*map(len, starts)):
        (top, left), (bottom, right) = (starts[0][i], starts[1][j]), (ends[0][i], ends[1][j])
        part = x[..., max(top, 0) : bottom, max(left, 0) : right, :]
        if count_include_pad is None:
            out[..., i, j, :] = part.max((-3, -2))
            continue
        size = part.shape[-3] * part.shape[-2]
        size = (bottom - top) * (right - left) if count_include_pad else size
        out[..., i, j, :] = part.sum((-3, -2)) / size
    return out


POOLS = [
    ((3, 3), (2, 2), (1, 1), False),  # the stem of a ResNet
    ((3, 3), (2, 2), (1, 1), True),
    ((3, 2), (3, 3), (1, 0), True),
    ((2, 2), (2, 2), (0, 1), True),
    ((5, 5), (2, 3), (2, 1), False),
    ((3, 3), (2, 2), (0, 0), True),
]


@pytest.mark.parametrize("axes", [(), (N,), (T, N)], ids=["image", "step", "sequence"])
@pytest.mark.parametrize(("window", "strides", "padding", "ceil_mode"), POOLS)
def test_pools_with_padding_are_those_of_pytorch(window, strides, padding, ceil_mode, axes):
    x = -1 + np.asarray(jax.random.normal(jax.random.key(0), (*axes, 7, 8, 2)))
    pairs = tuple((p, p) for p in padding)
    got = js.nn.MaxPool(window, strides, pairs, ceil_mode=ceil_mode)(jnp.asarray(x))
    np.testing.assert_array_equal(got, pooled(x, window, strides, padding, ceil_mode))
    for counts in (True, False):
        options = {"ceil_mode": ceil_mode, "count_include_pad": counts}
        got = js.nn.AvgPool(window, strides, pairs, **options)(jnp.asarray(x))
        want = pooled(x, window, strides, padding, ceil_mode, counts)
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_the_gradient_of_a_padded_max_pool_and_what_padding_is_for_spikes():
    x = jnp.asarray([[-3.0, -2.0], [-5.0, -4.0]])[..., None]
    pool = js.nn.MaxPool((3, 3), (2, 2), ((1, 1), (1, 1)))
    np.testing.assert_array_equal(jax.grad(lambda x: pool(x).sum())(x)[..., 0], [[0, 1], [0, 0]])
    for spikes in (jnp.zeros((1, 2, 2, 1), bool), jnp.full((1, 2, 2, 1), -3, jnp.int32)):
        np.testing.assert_array_equal(pool(spikes), spikes[:, :1, :1])


@pytest.mark.parametrize("kind", ["max", "max of a large window", "average"])
def test_the_gradient_of_a_padded_pool_is_that_of_its_windows(kind):
    window = (5, 5) if "large" in kind else (3, 3)
    options = window, (2, 2), ((1, 1), (1, 1))
    pool = js.nn.AvgPool(*options) if kind == "average" else js.nn.MaxPool(*options)
    x = jax.random.normal(jax.random.key(0), (T, N, 7, 7, 1))
    y, back = jax.jit(lambda x: jax.vjp(pool, x))(x)
    cotangent = np.asarray(jax.random.normal(jax.random.key(1), y.shape))
    want = np.zeros((T, N, 9, 9, 1), np.float32)
    padded = np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1), (0, 0)], constant_values=-np.inf)
    for t, n, i, j in np.ndindex(T, N, *y.shape[2:4]):
        part = (t, n, slice(2 * i, 2 * i + window[0]), slice(2 * j, 2 * j + window[0]), 0)
        share = 1 / 9 if kind == "average" else padded[part] == padded[part].max()
        want[part] += cotangent[t, n, i, j, 0] * share
    np.testing.assert_allclose(back(cotangent)[0], want[:, :, 1:-1, 1:-1], rtol=1e-4, atol=1e-5)


def test_same_is_not_a_padding_of_one():
    x = jnp.arange(4.0)[None, :, None]
    assert js.nn.MaxPool((3,), (2,), "SAME")(x)[0, :, 0].tolist() == [2, 3]
    assert js.nn.MaxPool((3,), (2,), ((1, 1),))(x)[0, :, 0].tolist() == [1, 3]


@pytest.mark.parametrize(
    ("window", "strides", "shape"),
    [
        ((2, 2), None, (6, 8)),
        ((2, 2), None, (7, 5)),
        ((3, 3), (2, 2), (8, 9)),
        ((2, 3), (1, 2), (5, 7)),
        ((4,), None, (9,)),
    ],
)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.int32, jnp.bool])
def test_max_pool_is_the_reduction_over_windows(window, strides, shape, dtype):
    spikes = jax.random.bernoulli(jax.random.key(0), 0.3, (T, N, *shape, 2)).astype(dtype)
    pool = js.nn.MaxPool(window, strides)

    def oracle(x):
        return nnx.max_pool(x, window, strides or window)

    assert pool(spikes).dtype == dtype
    np.testing.assert_array_equal(pool(spikes), oracle(spikes))
    if dtype == jnp.float32:  # of equal entries, the first has the gradient
        y, back = jax.vjp(pool, spikes)
        cotangent = jax.random.normal(jax.random.key(1), y.shape)
        np.testing.assert_allclose(
            back(cotangent)[0], jax.vjp(oracle, spikes)[1](cotangent)[0], atol=1e-6
        )
        broken = spikes.at[0, 0, (0,) * len(window)].set(jnp.nan)
        np.testing.assert_array_equal(pool(broken), oracle(broken))
    few = spikes[0, 0, *(slice(1),) * len(window)]  # smaller than the window
    assert pool(few).shape == oracle(few).shape


def test_a_state_of_ones_own_without_the_shape_of_the_input():
    class Homeostasis(js.nn.SpikingModule):
        def init_state(self, shape, dtype=jnp.float32):
            return jnp.zeros(shape[-1:], dtype), js.nn.EmptyState(len(shape))

        def __call__(self, state, x):
            mean = 0.9 * state[0] + 0.1 * x.mean(0)
            return (mean, state[1]), x - mean

    layer, xs = Homeostasis(), stream(C)
    state = layer.init_state((N, C))
    np.testing.assert_allclose(layer(state, xs)[1], js.scan(layer, state, xs)[1], rtol=1e-6)


class Stack(js.nn.SpikingModule):
    def __init__(self, neurons):
        self.neurons = neurons

    def __call__(self, state, x, gain):
        new = []
        for i, neuron in enumerate(self.neurons):
            s, x = neuron(state[i], gain * x)
            new.append(s)
        return tuple(new), x


@pytest.mark.parametrize("kind", [list, tuple, nnx.List])
def test_neurons_in_a_list_are_layers_and_calls_may_take_more(kind):
    net, xs = Stack(kind([js.IF(), js.LIF()])), stream(C)
    state = net.init_state((N, C), jnp.float32, 2.0)
    want = js.scan(lambda s, x: net(s, x, 2.0), state, xs)[1]
    np.testing.assert_array_equal(net(state, xs, 2.0)[1], want)
    assert want.mean() > 0


def test_a_long_rest_in_half_precision():
    neuron = js.Refractory(js.IF(), steps=300)
    state = neuron.init_state((1,), jnp.bfloat16)
    _, y = js.scan(neuron, state, jnp.ones((700, 1)))
    assert np.flatnonzero(y).tolist() == [0, 301, 602]


def test_an_error_in_a_layer_says_which():
    inner = js.nn.Sequential(nnx.Linear(2, 2, rngs=nnx.Rngs(0)))
    with pytest.raises(TypeError, match="dot_general") as info:
        js.nn.Sequential(js.IF(), inner).init_state((1, 3))
    assert [note for note in info.value.__notes__ if note.startswith("It is")] == [
        "It is raised by layer 0, a Linear, for an input of (1, 3).",
        "It is raised by layer 1, a Sequential, for an input of (1, 3).",
    ]


def test_the_class_of_a_module_can_be_assigned():
    """As qwix does, to change the call of a network that it quantizes."""
    ones = nnx.initializers.ones
    net = js.nn.Sequential(nnx.Linear(3, 2, kernel_init=ones, rngs=nnx.Rngs(0)), js.LIF())
    xs = jnp.ones((4, 2, 3))

    class Doubled(type(net)):
        def __call__(self, state, x):
            state, y = super().__call__(state, x)
            return state, 2 * y

    _, want = net(net.init_state((2, 3)), xs)
    net.__class__ = Doubled
    assert type(net) is Doubled
    _, y = net(net.init_state((2, 3)), xs)
    assert want.any()
    np.testing.assert_array_equal(y, 2 * want)
