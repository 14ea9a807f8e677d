"""Equations on no cycle leave the loop; only true recurrences stay."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxspike as js
from jaxspike.engine.order.components import components

from .programs import assert_equal

PRODUCTS = ("dot_general", "conv_general_dilated")
T, N, C = 12, 2, 4


def primitives(jaxpr, inside=False, found=None):
    """``(name, inside a loop)`` of all equations of a jaxpr, those of inner jaxprs too."""
    found = [] if found is None else found
    for e in jaxpr.eqns:
        found.append((e.primitive.name, inside))
        loop = inside or e.primitive.name in ("scan", "while")
        for p in jax.tree.leaves(list(e.params.values()), is_leaf=lambda p: hasattr(p, "eqns")):
            inner = getattr(p, "jaxpr", p)
            if hasattr(inner, "eqns"):
                primitives(inner, loop, found)
    return found


def counts(f, *args):
    """Loops, and products outside and inside of loops."""
    found = primitives(jax.make_jaxpr(f)(*args).jaxpr)
    loops = sum(name in ("scan", "while") for name, _ in found)
    products = [inside for name, inside in found if name in PRODUCTS]
    return loops, products.count(False), products.count(True)


def fire(v, x):
    h = v + (x - v) / 2.0
    s = js.surrogate.spike(h - 1.0, js.surrogate.ATan())
    return h * (1 - s), s


def feed_forward(w, s, x):
    a, y = fire(s[0], x @ w)
    b, y = fire(s[1], y @ w)
    return (a, b), y


def residual(w, s, x):
    a, y = fire(s[0], x @ w)
    b, y = fire(s[1], y @ w)
    return (a, b), y + x


def sew(w, s, x):
    """Spike-element-wise residual: the skip is added after the neuron, twice."""
    a, y = fire(s[0], x @ w)
    y = y + x
    b, z = fire(s[1], y @ w)
    return (a, b), z * y + z


def branching(w, s, x):
    a, y = fire(s[0], x @ w)
    b, z = fire(s[1], x @ w.T + y)
    return (a, b), jnp.concatenate([y @ w, z @ w])


NETS = [feed_forward, residual, sew, branching]


@pytest.fixture(scope="module")
def data():
    w = jax.random.normal(jax.random.key(0), (C, C))
    return w, (jnp.zeros((N, C)),) * 2, 2 * jax.random.normal(jax.random.key(1), (T, N, C))


@pytest.mark.parametrize("net", NETS)
def test_no_product_in_a_loop(net, data):
    w, state, x = data

    def loss(scan, w, x, **options):
        return scan(lambda s, x: net(w, s, x), state, x, **options)[1].sum()

    def forward(w, x):
        return loss(js.scan, w, x)

    loops, outside, inside = counts(forward, w, x)
    assert loops == 2 and inside == 0 and outside >= 2
    _, outside, inside = counts(jax.grad(forward, (0, 1)), w, x)
    assert inside == 0 and outside >= 6
    assert counts(lambda w, x: loss(js.scan, w, x, order="step"), w, x)[::2] == (1, outside // 3)
    got, want = (jax.grad(loss, (1, 2))(s, w, x) for s in (js.scan, jax.lax.scan))
    assert_equal(got, want)


class Block(nnx.Module):
    """Convolution, batch normalization and a neuron, twice, and a skip."""

    def __init__(self, c, *, rngs):
        self.conv1, self.bn1 = nnx.Conv(c, c, (3, 3), rngs=rngs), nnx.BatchNorm(c, rngs=rngs)
        self.conv2 = nnx.Conv(c, c, (3, 3), rngs=rngs)

    def __call__(self, state, x):
        a, y = fire(state[0], self.bn1(self.conv1(x)))
        b, y = fire(state[1], self.conv2(y))
        return (a, b), x + y


def test_flax_modules():
    block = Block(3, rngs=nnx.Rngs(0))
    block.eval()
    x = 2 * jax.random.normal(jax.random.key(0), (T, 2, 5, 5, 3))
    state = (jnp.zeros(x.shape[1:]),) * 2
    graph, variables = nnx.split(block)

    def loss(scan, variables, x):
        net = nnx.merge(graph, variables)
        return scan(lambda s, x: net(s, x), state, x)[1].sum()

    def ours(v, x):
        return loss(js.scan, v, x)

    assert counts(ours, variables, x) == (2, 2, 0)
    assert counts(jax.grad(ours), variables, x)[2] == 0
    got, want = (jax.grad(loss, 1)(s, variables, x) for s in (js.scan, jax.lax.scan))
    assert_equal(got, want, rtol=1e-4, atol=1e-4)


def test_a_changed_parameter_is_seen():
    """Traces are cached by the identity of a function; a module changes without changing it."""
    layer = nnx.Linear(3, 3, rngs=nnx.Rngs(0))

    def step(s, x):
        return (s, layer(x))

    first = js.scan(step, (), jnp.ones((2, 1, 3)))[1]
    layer.kernel.set_value(layer.kernel.get_value() * 2)
    np.testing.assert_allclose(js.scan(step, (), jnp.ones((2, 1, 3)))[1], 2 * first, rtol=1e-6)


def recurrent(p, s, x):
    a, y = fire(s[0], x @ p["in"])
    b, z = fire(s[1], y @ p["mid"] + s[2] @ p["rec"])
    return (a, b, z), z @ p["out"]


def test_a_recurrent_weight_stays_with_its_neuron(data):
    w, _, x = data
    p = dict.fromkeys(("in", "mid", "rec", "out"), w)
    state = (jnp.zeros((N, C)),) * 3

    def run(p, x):
        return js.scan(lambda s, x: recurrent(p, s, x), state, x)[1].sum()

    assert counts(run, p, x) == (2, 3, 1)
    # backward: 1 forward and 1 transposed product in a loop; the gradients of all four weights, the
    # recurrent one too, are products over all steps: 3 forward, 4 weights, 3 to inputs
    _loops, outside, inside = counts(jax.grad(run, (0, 1)), p, x)
    assert inside == 2 and outside == 10
    inside = counts(jax.grad(lambda p: run(p, x)), p)[2]
    assert inside == 2


def test_products_in_a_loop_are_not_computed_again(data):
    w, state, x = data

    def run(w):
        return js.scan(lambda s, x: sew(w, s, x), state, x, order="step", segment=1)[1].sum()

    loops, outside, inside = counts(jax.grad(run), w)
    assert loops == 2
    assert inside == 2 + 1  # forward; the cotangent of the second layer's input
    assert outside == 2  # the weight of both layers, over all steps


def test_delays_and_held_states_make_no_loop(data):
    _, _, x = data

    def step(s, x):
        return {"held": s["held"], "last": x, "before": s["last"], "zero": jnp.zeros_like(x)}, (
            s["before"] + s["held"] * s["zero"]
        )

    state = {k: x[0] + i for i, k in enumerate(("held", "last", "before", "zero"))}
    assert counts(lambda s, x: js.scan(step, s, x), state, x)[0] == 0
    assert_equal(js.scan(step, state, x), jax.lax.scan(step, state, x))


def test_swapped_states():
    def step(s, x):
        return ((s[1], s[0]), s[0] - s[1] * x)

    args = ((jnp.float32(1.0), jnp.float32(2.0)), jnp.arange(5.0))
    assert_equal(js.scan(step, *args), jax.lax.scan(step, *args))


def test_what_rides_and_what_joins(data):
    """A synapse and its membrane are one loop; casts and scalings before and after it ride."""
    _, state, x = data

    def two_states(s, x):
        c = 0.5 * s[0] + 2.0 * x.astype(jnp.float32)
        v, y = fire(s[1], jnp.tanh(c))
        return (c, v), (3.0 * y).astype(jnp.bfloat16)

    x = x.astype(jnp.bfloat16)
    found = primitives(jax.make_jaxpr(lambda x: js.scan(two_states, state, x))(x).jaxpr)
    assert sum(n in ("scan", "while") for n, _ in found) == 1
    assert ("tanh", True) in found and ("tanh", False) not in found
    assert_equal(js.scan(two_states, state, x), jax.lax.scan(two_states, state, x))


def summed_axes(jaxpr):
    """How many axes each matrix product sums over."""
    found = []
    for e in jaxpr.eqns:
        if e.primitive.name == "dot_general":
            found.append(len(e.params["dimension_numbers"][0][0]))
        for p in jax.tree.leaves(list(e.params.values()), is_leaf=lambda p: hasattr(p, "eqns")):
            if hasattr(inner := getattr(p, "jaxpr", p), "eqns"):
                found += summed_axes(inner)
    return found


def test_time_and_batch_are_one_axis_in_the_gradient_of_a_weight(data):
    """XLA for CPU transposes a sequence to sum over two axes, which takes twice as long."""
    w, _, x = data
    rngs = nnx.Rngs(0)
    linear = nnx.Linear(C, C, rngs=rngs)
    recurrent = js.nn.Recurrent(js.LIF(), linear)
    stack = js.nn.Sequential(linear, js.LIF(), nnx.Linear(C, 3, rngs=rngs), js.LI())
    rest = jnp.zeros((N, C))

    def scanned(w):
        return js.scan(lambda s, x: feed_forward(w, s, x), (rest, rest), x)[1].sum()

    def of(net):
        graph, params = nnx.split(net)

        def loss(params):
            net = nnx.merge(graph, params)
            return net(net.init_state((N, C)), x)[1].sum()

        return loss, params

    for f, params in ((scanned, w), of(recurrent), of(stack)):
        axes = summed_axes(jax.make_jaxpr(jax.grad(f))(params).jaxpr)
        assert len(axes) >= 2 and set(axes) == {1}


@pytest.mark.parametrize(("neurons", "depths"), [(8, (1, 2, 4)), (2**16, (4, 8, 16))])
def test_a_deep_network_writes_out_fewer_steps(neurons, depths):
    """Each step that a loop writes out is compiled again, in every layer."""

    def equations(depth, steps):
        net = js.nn.Sequential(*[js.LIF()] * depth)
        around = js.nn.Sequential(net)  # the outermost is what counts
        x = jax.ShapeDtypeStruct((steps, 1, neurons), jnp.float32)
        jaxpr = jax.make_jaxpr(lambda x: around(around.init_state((1, neurons)), x)[1])(x)
        return len(primitives(jaxpr.jaxpr)) / depth

    few, some, many = (equations(depth, 20) for depth in depths)
    assert few > 1.5 * some > 2 * many
    assert equations(16, 4) == equations(4, 4)  # all steps and no loop, in any network


def test_components():
    assert components([[1], [2], [1], []]) == [[3], [0], [2, 1]]
    assert components([[1], [0], [1]]) == [[2], [1, 0]]
    long = [[i + 1] for i in range(5000)] + [[0]]
    assert len(components(long)) == 1  # no recursion


def test_tracing_is_linear():
    """Ten times the equations are traced in about ten times the calls."""

    class Counter:
        calls = 0

    def step(depth):
        def f(s, x):
            new = []
            for v in s:
                v, x = fire(v, x)
                new.append(v)
            return new, x

        state = [jnp.zeros(3)] * depth
        jaxpr = jax.make_jaxpr(lambda x: js.scan(f, state, x, segment=1))(jnp.ones((9, 3)))
        return len(primitives(jaxpr.jaxpr))

    few, many = step(4), step(40)
    assert many < 11 * few


def test_a_product_keeps_its_name_where_time_is_folded(data):
    w, _, x = data

    def step(s, x):
        with jax.named_scope("layer_7"):
            return s, x @ w

    assert "layer_7" in jax.jit(lambda x: js.scan(step, (), x)[1]).lower(x).compile().as_text()


def test_a_product_of_integers(data):
    _, _, x = data
    w = jnp.ones((C, C), jnp.int8)

    def loss(scan, x):
        def step(s, x):
            dims = (((1,), (0,)), ((), ()))
            return s, jax.lax.dot_general(x, w, dims, preferred_element_type=jnp.float32)

        return (scan(step, (), x)[1] ** 2).sum()

    assert_equal(*(jax.grad(loss, 1)(s, x) for s in (js.scan, jax.lax.scan)))


def test_linear_layers_of_tokens_keep_their_products(data):
    """One step of rank 3 in `Sequential`: the engine sees the product."""
    net = js.nn.Sequential(nnx.Linear(C, C, rngs=nnx.Rngs(0)), js.LIF())
    state, x = net.init_state((2, 3, C)), jnp.ones((T, 2, 3, C))
    assert counts(lambda x: js.scan(net, state, x)[1], x) == (1, 1, 0)
    _, outside, inside = counts(jax.grad(lambda x: js.scan(net, state, x)[1].sum()), x)
    assert (outside, inside) == (2, 0)


def test_a_loop_of_data_runs_at_each_step_only_as_long_as_that_step_needs():
    def step(s, x):
        n = x.astype(int)
        return s + x, jax.lax.while_loop(lambda a: a[0] < n, lambda a: (a[0] + 1, 2 * a[1]), (0, x))

    xs = jnp.arange(5.0)
    run = jax.make_jaxpr(lambda xs: js.scan(step, jnp.zeros(()), xs))(xs)
    assert "bool[5]" not in str(run)  # a condition of all steps, as `vmap` makes it
    np.testing.assert_array_equal(js.scan(step, jnp.zeros(()), xs)[1][1], xs * 2**xs)
