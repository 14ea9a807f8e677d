"""Delay lines: one shift of a sequence on no cycle, a ring buffer in a loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxspike as js

from .programs import assert_equal
from .test_layer_order import primitives

N, C = 2, 3


def feed_forward(p, delay, state, x):
    late, y = delay(state[0], x @ p)
    v, z = js.LIF()(state[1], y)
    return (late, v, state[2]), z + y


def recurrent(p, delay, state, x):
    late, y = delay(state[0], state[2])
    v, z = js.LIF()(state[1], x + y @ p)
    return (late, v, z), z * y + y


def twice(p, delay, state, x):
    """Two rows go in and out in a step: the buffer stays a state."""
    late, y = delay(state[0], x)
    _, z = delay(late, y)
    return (late, *state[1:]), y + z


def results(scan, net, steps, length, **options):
    """Last state, outputs and gradients, from a state in the middle of a sequence."""
    keys = jax.random.split(jax.random.key(steps), 3)
    p = jax.random.normal(keys[0], (C, C))
    xs = 2 * jax.random.normal(keys[1], (length, N, C))
    buffer = jax.random.normal(keys[2], (N, C, steps))
    delay = js.Delay(steps)

    def loss(p, buffer, xs):
        places = (steps // 2 + jnp.arange(N * C).reshape(N, C)) % steps  # each its own
        state = js.neurons.DelayState(buffer, places.astype(jnp.float32))
        state = state, js.LIF().init_state((N, C)), jnp.zeros((N, C))
        out = scan(lambda s, x: net(p, delay, s, x), state, xs, **options)
        leaves = [a for a in jax.tree.leaves(out) if jnp.issubdtype(a.dtype, jnp.floating)]
        waves = [jnp.cos(jnp.arange(1.0 * a.size)).reshape(a.shape) for a in leaves]
        return sum((jnp.sin(a) * w).sum() for a, w in zip(leaves, waves, strict=True)), out

    return jax.jit(jax.value_and_grad(loss, (0, 1, 2), has_aux=True))(p, buffer, xs)


CASES = [
    (feed_forward, 1, 5, {}),
    (feed_forward, 3, 11, {}),
    (feed_forward, 50, 7, {}),
    (feed_forward, 3, 11, {"order": "step", "segment": 2}),
    (feed_forward, 400, 30, {"order": "step"}),
    (recurrent, 2, 11, {"segment": 4}),
    (recurrent, 3, 2, {}),
    (recurrent, 7, 30, {"segment": "sqrt"}),
    (recurrent, 50, 13, {"order": "step"}),
    (twice, 3, 11, {}),
]


@pytest.mark.parametrize("net, steps, length, options", CASES)
def test_equal(net, steps, length, options):
    got = results(js.scan, net, steps, length, **options)
    assert_equal(got, results(jax.lax.scan, net, steps, length), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("steps, length", [(400, 1000), (4000, 20), (20, 4000)])
def test_a_long_delay_is_one_shift(steps, length):
    delay, x = js.Delay(steps), jnp.arange(1.0 * length)[:, None]

    def run(state, x):
        return js.scan(delay, state, x)

    rest = delay.init_state((1,))
    state, y = jax.jit(run)(rest, x)
    np.testing.assert_array_equal(y[:, 0], np.maximum(np.arange(length) - steps, 0))
    late = np.roll(state.buffer[0], -int(state.next[0]))
    np.testing.assert_array_equal(late, np.maximum(np.arange(length - steps, length), 0))
    names = [name for name, _ in primitives(jax.make_jaxpr(run)(rest, x).jaxpr)]
    assert not {"scan", "while"} & set(names)
    assert len(names) < 80


def test_a_queue_of_arrays_is_one_shift():
    """And a part of it is read in the middle."""
    steps, length = 300, 700

    def step(queue, x):
        return (*queue[1:], x), (queue[0], queue[100])

    x = jnp.arange(1.0, length + 1)
    queue = tuple(jnp.full((), -1.0 * k) for k in range(steps))
    last, (oldest, younger) = jax.jit(lambda q, x: js.scan(step, q, x))(queue, x)
    rows = np.concatenate([queue, x])
    np.testing.assert_array_equal(oldest, rows[:length])
    np.testing.assert_array_equal(younger, rows[100 : 100 + length])
    np.testing.assert_array_equal(jnp.stack(last), rows[length:])


def test_pieces_and_steps_continue_a_sequence():
    delay, xs = js.Delay(5), jax.random.normal(jax.random.key(0), (23, C))
    state, pieces = delay.init_state((C,)), []
    for piece in jnp.split(xs, [2, 9, 10, 17]):
        state, y = js.scan(delay, state, piece[:-1]) if len(piece) > 1 else (state, piece[:0])
        state, last = delay(state, piece[-1])
        pieces += [y, last[None]]
    np.testing.assert_array_equal(jnp.concatenate(pieces)[5:], xs[:-5])


def test_vmap_around_and_inside():
    """Inside, the buffer is not known to be that of one delay: it is a state of a loop."""
    delay, xs = js.Delay(3), jax.random.normal(jax.random.key(0), (8, 3, 3))
    rest = delay.init_state((3, 3))
    want = js.scan(delay, rest, xs)
    around = jax.vmap(lambda s, x: js.scan(delay, s, x), (0, 1), (0, 1))
    inside = jax.vmap(delay)
    assert_equal(around(rest, xs), want)
    assert_equal(js.scan(inside, rest, xs), want)
    assert_equal(jax.lax.scan(inside, rest, xs), want)


def test_every_dtype_moves_as_it_is():
    delay = js.Delay(4)
    state = delay.init_state((C,), jnp.bfloat16)
    jaxpr = str(jax.make_jaxpr(delay)(state, jnp.ones(C, jnp.bfloat16)))
    assert "f32[3,4]" not in jaxpr
    state, y = js.scan(delay, state, jnp.ones((9, C), jnp.bfloat16))
    assert y.dtype == state.buffer.dtype == jnp.bfloat16


@pytest.mark.parametrize("net, options", [(feed_forward, {"order": "step"}), (recurrent, {})])
def test_the_gradient_keeps_a_row_of_a_step(net, options):
    """Not the buffer."""
    steps, length = 100, 200
    delay, state = js.Delay(steps), js.LIF().init_state((N, C))

    def run(xs):
        first = delay.init_state((N, C)), state, jnp.zeros((N, C))
        return js.scan(lambda s, x: net(jnp.eye(C), delay, s, x), first, xs, **options)[1]

    _, pull = jax.vjp(run, jnp.ones((length, N, C)))
    rows = sum(a.size for a in jax.tree.leaves(pull)) / (N * C)
    assert rows < 6 * length + steps


def test_a_delay_in_a_recurrent_layer():
    net = js.nn.Sequential(js.Delay(4), js.LIF())
    layer = js.nn.Recurrent(net, lambda y: 2 * y)
    xs = jax.random.normal(jax.random.key(0), (15, N, C))
    state = layer.init_state((N, C))
    got, want = layer(state, xs), jax.lax.scan(lambda s, x: layer(s, x), state, xs)
    assert_equal(got, want)
    assert got[1].mean() > 0.01


def test_second_order():
    delay, xs = js.Delay(3), jax.random.normal(jax.random.key(0), (7, 2))

    def gradient(scan):
        def loss(x):
            def step(state, x):
                late, y = delay(state[0], state[1])
                v = jnp.tanh(0.5 * state[1] + x + y)
                return (late, v), v * y

            return (scan(step, (delay.init_state((2,)), x[0]), x)[1] ** 2).sum()

        return jax.jit(jax.grad(lambda x: (jax.grad(loss)(x) ** 2).sum()))(xs)

    assert_equal(gradient(js.scan), gradient(jax.lax.scan), rtol=1e-4, atol=1e-4)
