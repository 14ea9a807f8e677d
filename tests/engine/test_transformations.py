"""`scan` under jit, vmap, checkpoint, donation, x64, sharding, and inside itself."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from xla import QUICK, as_flags

import jaxspike as js

from .programs import assert_equal

T, N, C = 6, 3, 4


def lax_scan(f, state, xs=None, length=None, **_):
    return jax.lax.scan(lambda s, x: f(s, x), state, xs, length=length)


def lif(tau, v, x):
    h = v + (x - v) / tau
    s = js.surrogate.spike(h - 1.0, js.surrogate.ATan())
    return h * (1 - s), s


def net(params, state, x):
    v1, y = lif(2.0, state[0], x @ params["w1"])
    v2, z = lif(params["tau"], state[1], y @ params["w2"] + state[2] @ params["w2"])
    return (v1, v2, z), z + x


@pytest.fixture(scope="module")
def data():
    keys = jax.random.split(jax.random.key(0), 4)
    params = {
        "w1": jax.random.normal(keys[0], (C, C)),
        "w2": jax.random.normal(keys[1], (C, C)),
        "tau": jnp.linspace(2.0, 4.0, C),
    }
    x = 2 * jax.random.normal(keys[2], (T, N, C))
    return params, (jnp.zeros((N, C)),) * 3, x


def loss(scan, params, state, x, **options):
    state, y = scan(lambda s, x: net(params, s, x), state, x, **options)
    return (y**2).sum() + (state[1] * state[0]).sum()


def grads(scan, *args, **options):
    return jax.value_and_grad(loss, (1, 2, 3))(scan, *args, **options)


def both(transform, *args):
    """Compare what ``transform(scan)`` gives for `js.scan` and for `jax.lax.scan`."""
    assert_equal(jax.jit(transform(js.scan))(*args), jax.jit(transform(lax_scan))(*args))


def test_without_jit(data):
    _params, _state, _x = data
    assert_equal(grads(js.scan, *data), grads(lax_scan, *data))


def test_vmap_of_grad_and_grad_of_vmap(data):
    params, state, x = data
    many = jnp.stack([x, -x, 2 * x])

    def per_sample(scan):
        return lambda x: jax.vmap(lambda x: grads(scan, params, state, x))(x)

    def over_parameters(scan):
        taus = jnp.stack([params["tau"], params["tau"] + 1])

        def total(t):
            return jax.vmap(lambda t: loss(scan, {**params, "tau": t}, state, x))(t).sum()

        return lambda _: jax.grad(total)(taus)

    both(per_sample, many)
    both(over_parameters, many)


def test_checkpoint_around_and_inside(data):
    params, state, x = data

    def around(scan):
        run = jax.checkpoint(lambda p, x: loss(scan, p, state, x))
        return lambda p, x: jax.grad(run, (0, 1))(p, x)

    def inside(scan):
        def f(p, x):
            step = jax.checkpoint(lambda s, x: net(p, s, x))
            return scan(step, state, x)[1].sum()

        return lambda p, x: jax.grad(f, (0, 1))(p, x)

    both(around, params, x)
    both(inside, params, x)


@pytest.mark.parametrize("order", ["layer", "step"])
def test_nested(data, order):
    params, state, x = data

    def transform(scan):
        def f(p, x):
            def outer(s, x):
                s, y = scan(lambda s, x: net(p, s, x), s, x, order=order)
                return s, y.sum(0)

            _s, y = scan(outer, state, x, order=order)
            return (y**2).sum()

        return lambda p, x: jax.value_and_grad(f, (0, 1))(p, x)

    both(transform, params, x.reshape(3, 2, N, C))


def test_second_order(data):
    _, _, x = data

    def transform(scan):
        def inner(x):
            return (scan(lambda v, x: lif(2.0, v, x), jnp.zeros_like(x[0]), x)[1] * x).sum()

        return lambda x: jax.grad(lambda x: (jax.grad(inner)(x) ** 2).sum())(x)

    both(transform, x)
    both(lambda scan: jax.jacrev(jax.grad(lambda x: transform(scan)(x).sum())), x[:2, :1, :2])


@pytest.mark.parametrize("order", ["layer", "step"])
def test_second_order_where_only_some_of_the_state_has_a_tangent(order):
    """JAX 0.12 cannot transpose a barrier over such a state and constants."""
    x = 0.2 * jax.random.uniform(jax.random.key(0), (4, 2, 5))

    def second(scan, **options):
        def run(p, x):
            def step(v, x):
                return v * v + x, jnp.where(v > 0.5, p, v)

            v, y = scan(step, jnp.full_like(x[0], 0.4), x, **options)
            return y.sum() + (v**2).sum()

        def first(p, x):
            return jax.grad(run)(p, x) + (jax.grad(run, 1)(p, x) ** 2).sum()

        return jax.jit(jax.grad(first, (0, 1)))(jnp.float32(0.3), x)

    found = second(js.scan, order=order, policy=js.Policy(tile=5))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-5), found, second(jax.lax.scan))


@pytest.mark.parametrize("policy", [None, js.Policy(tile=5, parallel=True)])
@pytest.mark.usefixtures("mixed_dtypes")
def test_forward_over_reverse(data, policy):
    _, _, x = data

    def transform(scan):
        def f(x):
            def step(state, x):
                v, count = state
                v = jnp.tanh(v + (x - v) / 2.0)
                return (v, count + (v > 0).astype(jnp.int32)), v

            state = jnp.zeros_like(x[0]), jnp.zeros_like(x[0], jnp.int32)
            return (scan(step, state, x, policy=policy)[1] ** 3).sum()

        return jax.hessian(f)

    both(transform, x[:3, :2, :3])


@pytest.mark.usefixtures("mixed_dtypes")
def test_collectives_over_a_mapped_axis(data):
    _, _, x = data

    def step(s, x):
        s = 0.5 * s + x - jax.lax.pmean(x, "batch")
        return s, s * jax.lax.axis_index("batch").astype(s.dtype)

    def transform(scan):
        def f(x):
            return (scan(step, jnp.zeros(C), x)[1] ** 2).sum()

        return jax.vmap(jax.value_and_grad(f), in_axes=1, axis_name="batch")

    both(transform, x)


def test_no_tracer_leaks(data):
    _, _, x = data

    def f(s, x):
        return js.scan(lambda s, x: ((0.5 * s[0] + x, s[1] + 1), s[0]), (s, 0), x)[1].sum()

    with jax.checking_leaks():
        jax.jit(jax.grad(f))(x[0], x)


def test_no_inputs():
    def step(state, _):
        v, k = state
        return (0.5 * v + 1, k + 1), (v, k)

    state = (jnp.ones(3), 0)
    for order in ("layer", "step"):
        got = js.scan(step, state, length=5, order=order)
        assert_equal(got, jax.lax.scan(step, state, length=5))


def test_no_state_and_no_result():
    x = jnp.arange(12.0).reshape(4, 3)
    for order in ("layer", "step"):
        assert_equal(js.scan(lambda s, x: (s, x**2), (), x, order=order), ((), x**2))
        assert_equal(js.scan(lambda s, x: (s + x, None), x[0], x, order=order)[0], x[0] + x.sum(0))


@pytest.mark.usefixtures("mixed_dtypes")
def test_python_numbers_as_state_take_the_type_of_the_step():
    x = jnp.ones((4, 2), jnp.bfloat16)
    for first in (0, 0.0, jnp.zeros((), jnp.bfloat16)):

        def step(s, x):
            return (s + x.sum(), s * 2)

        assert_equal(js.scan(step, first, x), jax.lax.scan(step, first, x))

    def with_key(s, x):
        return {"key": s["key"], "n": s["n"] + 1}, s["n"] * x

    state = {"key": jax.random.key(0), "n": 0}
    assert_equal(js.scan(with_key, state, x)[1], jax.lax.scan(with_key, state, x)[1])


@pytest.mark.filterwarnings("ignore:Some donated buffers")
def test_donated_buffers(data):
    params, state, x = data
    run = jax.jit(lambda p, s, x: js.scan(lambda s, x: net(p, s, x), s, x), donate_argnums=(1, 2))
    want = lax_scan(lambda s, x: net(params, s, x), state, x)
    assert_equal(run(params, tuple(s + 0 for s in state), x + 0), want)


def test_only_what_is_differentiated_is_accumulated(data):
    """Frozen parameters cost the backward pass nothing."""
    params, state, x = data

    def count(which):
        def f(p):
            return loss(js.scan, {**params, **p}, state, x, segment=1)

        jaxpr = jax.make_jaxpr(jax.grad(f))({k: params[k] for k in which})
        return str(jaxpr).count("dot_general")

    assert count(["tau"]) < count(["tau", "w2"]) < count(["tau", "w1", "w2"])


def test_sharded_and_x64():
    """Eight simulated devices and double precision need a process of their own."""
    env = {
        **os.environ,
        "XLA_FLAGS": f"{as_flags(QUICK)} --xla_force_host_platform_device_count=8",
        "JAX_ENABLE_X64": "1",
        "JAX_PLATFORMS": "cpu",
    }
    script = Path(__file__).with_name("sharded.py")
    root = Path(js.__file__).parents[1]
    env["PYTHONPATH"] = os.pathsep.join([str(root), env.get("PYTHONPATH", "")])
    done = subprocess.run([sys.executable, script], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "4 programs equal" in done.stdout


def test_large_enough_to_be_tiled():
    """The tiled passes, and their derivative, at a size where the policy may choose them."""
    x = 2 * jax.random.normal(jax.random.key(1), (5, 40, 1000))
    tau = jnp.linspace(2.0, 4.0, 1000)

    def transform(scan):
        def f(tau, x):
            v, y = scan(lambda v, x: lif(tau, v, x), jnp.zeros(x.shape[1:]), x)
            return (y * x).sum() + (v**2).sum(), y

        return lambda t, x: jax.value_and_grad(f, (0, 1), has_aux=True)(t, x)

    got, want = jax.jit(transform(js.scan))(tau, x), jax.jit(transform(lax_scan))(tau, x)
    np.testing.assert_array_equal(got[0][1], want[0][1])
    assert_equal(got, want, rtol=1e-4, atol=1e-3)


def test_hessian_of_a_product():
    x = jax.random.normal(jax.random.key(0), (3, 2, 4))

    def f(scan, w):
        def step(s, x):
            return 0.5 * s + x @ w, jnp.tanh(s)

        return (scan(step, jnp.zeros((2, 4)), x)[1] ** 2).sum()

    w = jax.random.normal(jax.random.key(1), (4, 4))
    got, want = (jax.hessian(lambda w, s=s: f(s, w))(w) for s in (js.scan, jax.lax.scan))
    assert_equal(got, want, rtol=1e-4, atol=1e-4)


def test_a_product_under_vmap_has_no_gradient_for_each_element():
    w, x = jnp.ones((64, 64)), jnp.ones((32, 3, 2, 64))

    def loss(w, x):
        run = jax.vmap(lambda x: js.scan(lambda s, x: (s, jnp.tanh(x @ w)), (), x)[1])
        return (run(x) ** 2).sum()

    compiled = jax.jit(jax.grad(loss)).lower(w, x).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 4 * x.nbytes  # 32 matrices: 21


def test_an_explicit_mesh_of_one_device():
    explicit = (jax.sharding.AxisType.Explicit,)
    mesh = jax.make_mesh((1,), ("batch",), axis_types=explicit)
    split = jax.NamedSharding(mesh, jax.P(None, "batch"))
    w, x = jnp.eye(4), jnp.ones((5, 3, 4))
    net = js.nn.Sequential(nnx.Linear(4, 4, rngs=nnx.Rngs(0)))
    with jax.set_mesh(mesh):
        got = js.scan(lambda s, x: (s, x @ w), (), jax.device_put(x, split))[1]
        assert jax.typeof(net(((),), jax.device_put(x, split))[1]).sharding.spec[1] == "batch"
    assert_equal(got, x)
