"""Parallel order: affine recurrences without a loop, resets by a fixed point, and the loop else."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxspike as js
from jaxspike.engine.loop import fixed_point
from jaxspike.engine.loop.affine_scan import before
from jaxspike.engine.loop.fixed_point import Recurrence
from jaxspike.engine.order.graph import Graph
from jaxspike.engine.order.partition import partition
from jaxspike.engine.program.loop import Loop
from jaxspike.engine.program.step import trace_step

from .programs import assert_equal, spike
from .test_layer_order import primitives

N, C = 2, 3
LOOPS = {"scan", "while"}


def loops(f, *args):
    return [name for name, _ in primitives(jax.make_jaxpr(f)(*args).jaxpr) if name in LOOPS]


def recurrences(f, state, x):
    """The recurrences of a step, each read as an affine one, or None."""
    step, consts, _ = trace_step(f, state, x)
    graph = Graph(step)
    parts = [p for p in partition(graph, split=True, fuse=False) if p.kind == "loop"]
    found = [Loop(graph.step_of(p.eqns, p.states), 1) for p in parts]
    values = dict(zip(step.consts, consts, strict=True))
    return [(one.affine, [values.get(v) for v in one.step.consts]) for one in found]


def parallel(f, state, xs):
    return js.scan(f, state, xs, order="parallel")


def random_affine(seed):
    """A random ``step(params, state, x)`` of up to three states with jumps where some decide."""
    rng = np.random.default_rng(seed)
    k = int(rng.integers(1, 4))

    def normal(*shape):
        return jnp.asarray(rng.normal(size=shape), jnp.float32)

    a = normal(k, k)
    a *= 0.9 / jnp.abs(a).sum(1, keepdims=True)  # does not grow
    gain = jnp.asarray(rng.uniform(0.7, 1.0, C), jnp.float32)
    params = {"a": a, "gain": gain, "threshold": jnp.float32(0.6)}
    jumps = [
        lambda h, s, p: h,
        lambda h, s, p: h - s * p["threshold"],
        lambda h, s, p: h * (1 - s) + 0.1 * s,
        lambda h, s, p: jnp.where(s > 0, p["gain"], h),
        lambda h, s, p: jnp.where(h > 0.5, 0.5 * h, -h),
        lambda h, s, p: h - 0.3 * jnp.round(h),
    ]
    chosen = [jumps[i] for i in rng.integers(len(jumps), size=k)]

    def step(params, state, x):
        h = [sum(params["a"][i, j] * state[j] for j in range(k)) + x for i in range(k)]
        h[0] = h[0] * params["gain"]
        s = spike(h[0] - params["threshold"])
        return [f(a, s, params) for f, a in zip(chosen, h, strict=True)], (s, jnp.tanh(h[-1]))

    return step, params, [normal(N, C) for _ in range(k)], normal(30, N, C)


def gradients(scan, step):
    def loss(params, state, xs):
        last, ys = scan(lambda s, x: step(params, s, x), state, xs)
        return sum(jnp.sin(a).sum() for a in (*last, *ys)), (last, ys)

    return jax.jit(jax.value_and_grad(loss, (0, 1, 2), has_aux=True))


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(n, marks=[pytest.mark.slow]) for n in range(1, 7))]
)
def test_random_affine_programs(seed):
    step, *args = random_affine(seed)
    found = recurrences(functools.partial(step, args[0]), args[1], args[2][0])
    assert found and all(affine for affine, _ in found)
    assert_equal(gradients(parallel, step)(*args), gradients(jax.lax.scan, step)(*args))


def rotation(state, x):
    u, v = state
    return (0.9 * u - 0.3 * v + x, 0.3 * u + 0.9 * v), v


def spikes_without_reset(v, x):
    v = 0.9 * v + x
    return v, spike(v - 1.0)


AFFINE = {
    "LI": (js.LI(), None),
    "SynapseFilter": (js.SynapseFilter(), None),
    "rotation": (rotation, (jnp.ones((N, C)),) * 2),
    "complex": (
        lambda z, x: (z * (0.5 + 0.8j) + x.astype(z.dtype), z.real),
        jnp.ones((N, C), jnp.complex64),
    ),
    "no reset": (spikes_without_reset, jnp.ones((N, C))),
    "a number": (lambda v, x: (0.5 * v + 1.0, v + x), jnp.float32(1.0)),
}


@pytest.mark.parametrize("name", AFFINE)
def test_no_loop_is_left_of_an_affine_recurrence(name):
    step, state = AFFINE[name]
    state = step.init_state((N, C)) if state is None else state
    xs = jnp.ones((20, N, C))
    assert not loops(functools.partial(parallel, step), state, xs)
    loss = lambda x: (parallel(step, state, x)[1] ** 2).sum()  # noqa: E731
    assert not loops(jax.grad(loss), xs)
    assert loops(functools.partial(js.scan, step), state, xs)
    if name in ("complex", "no reset"):
        want = jax.jit(jax.grad(lambda x: (jax.lax.scan(step, state, x)[1] ** 2).sum()))(xs)
        np.testing.assert_allclose(jax.jit(jax.grad(loss))(xs), want, rtol=1e-4, atol=1e-5)


def test_what_is_not_affine():
    """Runs as in layer order; so do types of which a step rounds the state."""
    one = jnp.ones((N, C))
    for step, state in (
        (lambda v, x: (jnp.tanh(v) + x, v), one),
        (lambda v, x: (v * v + x, v), one),
        (lambda v, x: (jnp.maximum(v + x, 0.0), v), one),
        (lambda v, x: (v @ jnp.ones((C, C)) + x, v), one),
        (lambda v, x: (v + x.astype(v.dtype), v), one.astype(jnp.bfloat16)),
        (lambda v, x: ((0.5 * v).astype(jnp.float16).astype(jnp.float32) + x, v), one),
        (
            lambda z, x: (z.real.astype(z.dtype) * (1 + 1j) + x.astype(z.dtype), z),
            one.astype(jnp.complex64),
        ),
        (lambda n, x: (n + (x > 0).astype(n.dtype), n), one.astype(jnp.int32)),
        (lambda s, x: ([*s[1:], s[0] + x], s[0]), [one] * 5),
    ):
        assert [affine for affine, _ in recurrences(step, state, one)] == [None]
        assert "scan" in loops(functools.partial(parallel, step), state, jnp.ones((20, N, C)))


def recurrence(neuron, xs):
    state = neuron.init_state(xs.shape[1:])
    ((affine, consts),) = recurrences(neuron, state, xs[0])
    return Recurrence(affine, len(xs), consts, jax.tree.leaves(state), [xs])


def drive(mean, std, steps=400):
    return mean + std * jax.random.normal(jax.random.key(0), (steps, N, C))


@pytest.mark.parametrize("v_reset", [None, pytest.param(0.0, marks=[pytest.mark.slow])])
def test_rare_spikes_are_found_by_few_iterations(v_reset):
    neuron, xs = js.LIF(tau=20.0, v_reset=v_reset, decay_input=False), drive(0.05, 0.05)
    guess = jax.jit(lambda: tuple(recurrence(neuron, xs).guessed()))()
    turns, decisions, states, known = guess
    last, spikes = jax.lax.scan(neuron, neuron.init_state((N, C)), xs)
    most = int(spikes.sum(0).max())
    assert 3 < most < 12
    assert known == len(xs) and turns <= 2 * most + 1
    np.testing.assert_array_equal(decisions[0], spikes > 0)
    np.testing.assert_allclose(states[0][-1], last.v, 1e-5, 1e-6)


def test_each_iteration_makes_one_more_step_right():
    """The claim of the proof, from the worst guess."""
    neuron, xs = js.LIF(v_reset=None), drive(1.5, 1.0, 12)
    found = recurrence(neuron, xs)
    again = jax.jit(lambda d: found.decided(before(found.first, found.given(d))))
    _, spikes = jax.lax.scan(neuron, neuron.init_state((N, C)), xs)
    decisions = [spikes == 0]
    for k in range(1, 13):
        decisions = again(decisions)
        np.testing.assert_array_equal(decisions[0][:k], spikes[:k] > 0)


def check(neuron, xs):
    """In parallel order results are those of the loop."""
    state = neuron.init_state((N, C))
    got, want = (jax.jit(functools.partial(f, neuron))(state, xs) for f in (parallel, jax.lax.scan))
    assert_equal(got, want)
    assert 0.005 < want[1].mean() < 0.9


@pytest.mark.slow
def test_dense_spikes_are_left_to_the_loop():
    neuron, xs = js.LIF(tau=20.0, v_reset=None, decay_input=False), drive(0.3, 0.3)
    assert recurrence(neuron, xs).guessed().known < 50
    check(neuron, xs)


def test_states_that_a_step_does_not_confirm_are_left_to_the_loop(monkeypatch):
    exact = fixed_point.affine_scan
    neuron, xs = js.LIF(tau=20.0, decay_input=False), drive(0.05, 0.05)
    wrong = lambda *args: [(1 + 1e-4) * a for a in exact(*args)]  # noqa: E731
    monkeypatch.setattr(fixed_point, "affine_scan", wrong)
    assert recurrence(neuron, xs).guessed().known == len(xs)
    check(neuron, xs)


@pytest.mark.slow
def test_factors_that_overflow_are_left_to_the_loop():
    """0 times the product of all factors, which is infinite, is not a number."""

    def step(v, x):
        v = 2 * v + x
        return jnp.where(v > 3, 0.0, v), v

    xs = jnp.zeros((300, 2)).at[-3:].set(1.0)
    assert_equal(parallel(step, jnp.zeros(2), xs), jax.lax.scan(step, jnp.zeros(2), xs))


TAUS = jnp.array([10.0, 20.0])
TRANSFORMED = {
    "grad of vmap": lambda run, x: jax.grad(lambda x: jax.vmap(lambda t: run(x, t))(TAUS).sum())(x),
    "vmap of grad of what is mapped": lambda run, x: jax.vmap(jax.grad(run, 1), (None, 0))(x, TAUS),
    "nested": lambda run, x: jax.lax.scan(lambda c, x: (c, jax.grad(run)(x, c)), 20.0, x[None])[1],
}


@pytest.mark.parametrize(
    "name",
    [n if n == "grad of vmap" else pytest.param(n, marks=[pytest.mark.slow]) for n in TRANSFORMED],
)
def test_transformations(name):
    """One member of the batch spikes rarely, the other so often that it is left to the loop."""

    def run(scan, x, tau):
        neuron = js.LIF(tau=tau, decay_input=False)

        def step(state, x):
            v, u = state
            v, s = neuron(v, x)
            u = 0.9 * u + 2 * x
            return (v, u), s * u

        (v, u), y = scan(step, (neuron.init_state((N, C)), jnp.zeros((N, C))), x)
        return (y**2).sum() + v.v.sum() + u.sum()

    x = drive(0.08, 0.05, 50)
    got, want = (
        jax.jit(lambda x, f=f: TRANSFORMED[name](functools.partial(run, f), x))(x)
        for f in (parallel, jax.lax.scan)
    )
    assert_equal(got, want, rtol=1e-4, atol=1e-4)


def test_derivatives_of_higher_order():
    def second(scan):
        def run(a, x):
            v, y = scan(lambda v, x: (a * v + x, jnp.sin(v)), jnp.ones((N, C)), x)
            return (y * x).sum() + (v**2).sum()

        return jax.jit(jax.grad(lambda a, x: (jax.grad(run, 1)(a, x) ** 2).sum(), (0, 1)))

    args = jnp.float32(0.7), drive(0.5, 0.5, 6)
    assert_equal(second(parallel)(*args), second(jax.lax.scan)(*args))
    with pytest.raises(TypeError, match="must be differentiated in reverse mode"):
        jax.jvp(lambda x: parallel(js.LI(), js.LI().init_state((N, C)), x)[1], args[1:], args[1:])


def test_a_network():
    net = js.nn.Sequential(
        *(
            nnx.Linear(C, 8, rngs=nnx.Rngs(0)),
            js.LIF(),
            nnx.Linear(8, 2, rngs=nnx.Rngs(1)),
            js.LI(),
        ),
    )
    state, xs = net.init_state((N, C)), 3 * drive(0.5, 1.0, 20)
    run = nnx.jit(lambda net, order: js.scan(net, state, xs, order=order), static_argnums=1)
    layer, found = (run(net, order) for order in ("layer", "parallel"))
    assert_equal(found, layer)
    assert not jnp.allclose(layer[1], 0)
