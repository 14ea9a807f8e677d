"""Random steps: graphs of matmuls, elementwise operations, states, skips, recurrences."""

import jax
import jax.numpy as jnp
import numpy as np

N, WIDTH, STEPS = 3, 4, 7


@jax.custom_vjp
def spike(x):
    return (x >= 0).astype(x.dtype)


spike.defvjp(lambda x: (spike(x), x), lambda x, g: (g / (1 + jnp.abs(x)) ** 2,))

ELEMENTWISE = [
    lambda a, b, p: a + b,
    lambda a, b, p: a - 0.5 * b,
    lambda a, b, p: jnp.tanh(a),
    lambda a, b, p: a * jax.nn.sigmoid(b),
    lambda a, b, p: jnp.where(a > 0.1, a, b),  # a nested jit
    lambda a, b, p: spike(a - 0.3),
    lambda a, b, p: jax.nn.relu(a) + b,  # a custom_jvp
    lambda a, b, p: a + p["scale"],  # per channel
    lambda a, b, p: a * p["gain"],  # a number
    lambda a, b, p: jnp.where(a > 0.1, p["gain"], b),  # a number spread over a layer
    lambda a, b, p: jnp.maximum(a, b) * p["row"],  # per channel, with its batch axis
    lambda a, b, p: a * (b > 0).astype(jnp.int32).astype(jnp.float16).astype(jnp.float32),
    lambda a, b, p: jax.lax.stop_gradient(a) + b,
    lambda a, b, p: jax.checkpoint(lambda a: jnp.tanh(a) + 0.1 * a)(a),
]
MIXING = [
    lambda a, b, p: a @ p["w0"],
    lambda a, b, p: a @ p["w1"].T + b,
    lambda a, b, p: a - a.mean(0),
    lambda a, b, p: jnp.flip(a, 1),
    lambda a, b, p: jax.lax.cond(p["gain"] > 0, jnp.tanh, jnp.negative, a),
]


def program(seed):
    """A random ``step(params, state, x)``, its parameters, first state and inputs."""
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return jnp.asarray(rng.normal(size=shape) * 0.7, jnp.float32)

    params = {
        "w0": normal(WIDTH, WIDTH),
        "w1": normal(WIDTH, WIDTH),
        "scale": normal(WIDTH),
        "gain": normal(),
        "row": normal(1, WIDTH),
        "unused": normal(2),
    }
    n_states, n_inputs = int(rng.integers(0, 5)), int(rng.integers(1, 3))
    n_eqns = int(rng.integers(2, 14))
    plan = [
        (
            ELEMENTWISE[rng.integers(len(ELEMENTWISE))]
            if rng.random() < 0.75
            else MIXING[rng.integers(len(MIXING))],
            rng.integers(0, 1000, 2),
        )
        for _ in range(n_eqns)
    ]
    updates = [
        (rng.choice(["value", "leak", "held", "delay", "constant"]), rng.integers(1000))
        for _ in range(n_states)
    ]
    outputs = rng.integers(0, 1000, int(rng.integers(1, 4)))

    def step(params, state, x):
        values = [*jax.tree.leaves(x)[:n_inputs], *state["f"], params["scale"] * jnp.ones((N, 1))]
        for f, (i, j) in plan:
            values.append(f(values[i % len(values)], values[j % len(values)], params))
        new = []
        for old, (kind, i) in zip(state["f"], updates, strict=True):
            v = values[i % len(values)]
            new.append(
                {
                    "value": 0.5 * v,
                    "leak": 0.8 * old + 0.3 * v,
                    "held": old,
                    "delay": x["a"],
                    "constant": jnp.full_like(old, 0.25),
                }[kind]
            )
        key, noise = state["key"], 0.1
        if seed % 3 == 0:  # the same in every program, and most of what is to compile
            key, sub = jax.random.split(key)
            noise *= jax.random.normal(sub, (N, WIDTH))
        count = state["count"] + x["flag"].astype(jnp.int32)
        ys = [values[i % len(values)] for i in outputs]
        new = {"f": new, "key": key, "count": count, "ever": state["ever"] | x["flag"].any()}
        return new, {"y": ys, "noisy": ys[0] + noise, "count": count, "one": jnp.float32(1.0)}

    state = {
        "f": [normal(N, WIDTH) for _ in range(n_states)],
        "key": jax.random.key(seed),
        "count": jnp.zeros((N,), jnp.int32),
        "ever": jnp.zeros((), bool),
    }
    xs = {
        "a": normal(STEPS, N, WIDTH),
        "b": normal(STEPS, N, WIDTH),
        "flag": jnp.asarray(rng.random((STEPS, N)) > 0.5),
        "unused": normal(STEPS, 2),
    }
    return step, params, state, xs


def is_float(a):
    return jnp.issubdtype(a.dtype, jnp.floating)


def floats(tree):
    """The floating leaves of a pytree, and a function that puts new ones in their place."""
    leaves, treedef = jax.tree.flatten(tree)

    def back(new):
        new = iter(new)
        return jax.tree.unflatten(treedef, [next(new) if is_float(a) else a for a in leaves])

    return [a for a in leaves if is_float(a)], back


def value_and_gradients(scan, step, params, state, xs, **options):
    """All results of a scan, and the gradients with respect to parameters, state and inputs."""
    (p, put_p), (s, put_s), (x, put_x) = floats(params), floats(state), floats(xs)

    def loss(p, s, x):
        params = put_p(p)
        out = scan(lambda s, x: step(params, s, x), put_s(s), put_x(x), **options)
        parts = [jnp.sum(jnp.sin(a + i)) for i, a in enumerate(floats(out)[0])]
        return sum(parts), out

    (_, out), grads = jax.value_and_grad(loss, (0, 1, 2), has_aux=True)(p, s, x)

    def plain(a):
        return jax.random.key_data(a) if jnp.issubdtype(a.dtype, jax.dtypes.prng_key) else a

    return jax.tree.map(plain, out), grads


def assert_equal(got, want, *, rtol=1e-5, atol=1e-5):
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for (path, a), b in zip(
        jax.tree_util.tree_leaves_with_path(got), jax.tree.leaves(want), strict=True
    ):
        where = jax.tree_util.keystr(path)
        assert a.dtype == b.dtype and a.shape == b.shape, where
        np.testing.assert_allclose(
            np.asarray(a, np.float64), np.asarray(b, np.float64), rtol, atol, err_msg=where
        )
