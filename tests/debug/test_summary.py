"""The table of a network: what it says, and that it leaves the network alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxspike as js

N = 3


class Block(js.nn.SpikingModule):
    """A parameter of its own, a neuron with feedback, a layer used twice, and one never called."""

    def __init__(self, rngs):
        self.unused = nnx.Linear(2, 2, rngs=rngs)
        self.gain = nnx.Param(jnp.ones(4))
        self.recurrent = js.nn.Recurrent(js.IF(), nnx.Linear(4, 4, rngs=rngs))
        self.linear = nnx.Linear(4, 4, rngs=rngs)

    def __call__(self, state, x):
        new, y = self.recurrent(state["recurrent"], self.linear(self.linear(x)))
        return {"recurrent": new}, self.gain[...] * y


@pytest.fixture(scope="module")
def net():
    rngs = nnx.Rngs(0)
    return js.nn.Sequential(
        js.nn.Spiking(js.IF(), learn=("v_threshold",)), Block(rngs), nnx.relu, js.LI()
    )


def test_the_table(net):
    assert str(js.summary(net, (N, 4))).splitlines() == [
        "layer                 type       output      parameters       state",
        "0                     IF         (3, 4)               1   12 (48 B)",
        "1                     Block      (3, 4)               4",
        "1.linear              Linear     (3, 4)              20",
        "1.recurrent           Recurrent  (3, 4)                   24 (96 B)",
        "1.recurrent.feedback  Linear     (3, 4)              20",
        "1.recurrent.neuron    IF         (3, 4)",
        "3                     LI         (3, 4)                   12 (48 B)",
        "1.unused              Linear     not called           6",
        "total                                                51  48 (192 B)",
    ]


def test_numbers_add_up(net):
    table = js.summary(net, (N, 4))
    params = jax.tree.leaves(nnx.state(net, nnx.Param))
    assert table.parameters == sum(p.size for p in params)
    assert table.parameters == sum(layer.parameters for layer in table.layers.values())
    state = jax.tree.leaves(net.init_state((N, 4)))
    assert table.state_size == sum(a.size for a in state)
    assert table.state_bytes == sum(a.nbytes for a in state)
    assert table.state_size == sum(layer.state_size for layer in table.layers.values())


def test_rates_are_those_of_firing_rates(net):
    x_seq = 2 * jax.random.normal(jax.random.key(0), (6, N, 4))
    state = net.init_state((N, 4))
    want = js.debug.firing_rates(net, state, x_seq)
    for given in (state, (N, 4)):
        table = js.summary(net, given, x_seq)
        assert list(table.layers) == list(js.summary(net, (N, 4)).layers)
        for name, layer in want.layers.items():
            np.testing.assert_allclose(table.layers[name].rate, layer.rate, rtol=1e-6)
        assert table.layers["3"].rate is None  # graded
        assert "rate" in str(table)
    step = js.summary(net, state, x_seq[0])
    spikes = net.layers[0](state[0], x_seq[0])[1]
    assert step.layers["0"].rate == float((spikes != 0).mean())


def test_the_rate_of_a_layer_is_that_of_all_its_calls():
    shared = js.nn.Spiking(js.IF())
    net = js.nn.Sequential(shared, lambda x: 0.5 * x, shared)
    x_seq = jnp.ones((4, 1, 2))  # the first call fires at every step, the second at every other
    assert js.summary(net, (1, 2), x_seq).layers["0"].rate == 0.75


def test_the_state_is_the_one_that_is_given():
    net = js.nn.Sequential(js.IF(), js.LI())
    half = net.init_state((N, 4), jnp.bfloat16)
    table = js.summary(net, half, jnp.ones((N, 4), jnp.bfloat16))
    assert (table.state_size, table.state_bytes) == (24, 48)


def test_layers_without_a_single_step_and_without_a_state():
    net = js.nn.Sequential(js.PSN.init(5, key=jax.random.key(0)), js.nn.Flatten(2))
    table = js.summary(net, (N, 2, 2), jnp.ones((5, N, 2, 2)))
    assert [layer.output for layer in table.layers.values()] == [(N, 2, 2), (N, 4)]
    assert (table.parameters, table.state_size) == (30, 0)
    table = js.summary(js.nn.Sequential(nnx.relu), (N, 2))  # a function has no row
    assert list(table.layers) == ["Sequential"]
    assert str(table).splitlines()[-1].split() == ["total", "0", "0"]
    assert list(js.summary(js.nn.Spiking(js.LIF()), (N, 2)).layers) == ["Spiking"]


def test_the_network_stays_as_it_is(net):
    graph, before = nnx.graphdef(net), jax.tree.map(np.array, nnx.state(net))
    js.summary(net, (N, 4), jnp.ones((5, N, 4)))
    assert nnx.graphdef(net) == graph
    jax.tree.map(np.testing.assert_array_equal, nnx.state(net), before)
    jax.jit(lambda: js.summary(net, (N, 4)).parameters)()  # nothing is run without x


def test_a_table_in_a_notebook(net):
    text = js.summary(net, (N, 4))._repr_html_()
    assert text.startswith("<table><tr><th")
    assert text.count("<tr>") == 10
    assert ">1.recurrent.feedback</td>" in text


@pytest.mark.parametrize(
    ("call", "kind", "sentence"),
    [
        (
            lambda net: js.summary(js.LIF(), (N, 4)),
            TypeError,
            "`summary(net=...)` must be a SpikingModule, got a LIF. For a neuron or a "
            "function, scan a step that returns `(state, (spikes, state.v))`.",
        ),
        (
            lambda net: js.summary(net, net.init_state((N, 4))),
            ValueError,
            "`summary(state_or_shape=...)` must be the shape of one step, or a state and the input "
            "x that it was built for, got a tuple and no x. "
            "Give the shape: `summary(net, (N, ...))`.",
        ),
        (
            lambda net: js.summary(net, 3),
            ValueError,
            "`summary(state_or_shape=...)` must be the shape of one step, or a state and the input "
            "x that it was built for, got an int and no x. "
            "Give the shape: `summary(net, (N, ...))`.",
        ),
        (
            lambda net: js.summary(net, net.init_state((N, 4)), jnp.ones((N, 1, 4))),
            ValueError,
            "`summary(state_or_shape=...)` must be the shape of one step, or a state and the input "
            "x that it was built for, got a tuple and x of (3, 1, 4). "
            "Give the shape: `summary(net, (N, ...))`.",
        ),
        (
            lambda net: jax.jit(lambda x: js.summary(net, (N, 4), x))(jnp.ones((N, 4))),
            TypeError,
            "`summary` must be called outside of `jit`: it looks at values. Inside, use `record`.",
        ),
    ],
)
def test_errors(net, call, kind, sentence):
    with pytest.raises(kind) as error:
        call(net)
    assert str(error.value) == sentence


def test_why_there_is_a_table_of_our_own(net):
    """`nnx.tabulate` cannot print a NamedTuple; where it can one day, say so in `summary`."""

    class Steps(nnx.Module):
        def __call__(self, state, x):
            return state, x

    with pytest.raises(TypeError, match="not supported between instances of 'int' and 'str'"):
        nnx.tabulate(Steps(), js.LIF().init_state((N,)), jnp.ones(N))
