"""Random networks: layers of neurons with all that a local rule must tell apart."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

import jaxspike as js

N, WIDTH, STEPS = 2, 3, 6


class Own(js.Neuron):
    """A neuron of the user's, with two states that depend on each other and no spikes."""

    decay: js.Param = 0.8

    def init_state(self, shape, dtype=jnp.float32):
        return jnp.zeros(shape, dtype), jnp.zeros(shape, dtype)

    def step(self, state, x):
        a, b = state
        new = self.decay * a + jnp.tanh(x - 0.5 * b)
        return (new, 0.9 * b + 0.3 * a * new), new + 0.2 * b


SOFT = js.LIF(v_reset=None, detach_reset=True, decay_input=False, tau=3.0)
CELLS = [
    SOFT,
    js.LIF(decay_input=False, tau=4.0),
    js.ALIF(v_decay=0.8, a_decay=0.9, beta=0.3),
    js.CubaLIF(),
    js.CubaLIF(v_reset=None),
    js.LI(tau=3.0),
    Own(),
]


def network(seed):
    """A random ``step(params, state, x) -> (state, loss)``, its parameters, state and inputs."""
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return jnp.asarray(rng.normal(size=shape))

    params, layers, width = {}, [], WIDTH
    for i in range(int(rng.integers(1, 4))):
        own = {"w": normal(width, WIDTH), "b": 0.3 * normal(WIDTH)}
        names = ("scale", "recurrent", "membrane", "low", "skip", "before", "lateral", "decay")
        has = {name: rng.random() < 0.25 for name in names}
        own |= {"scale": 1 + 0.2 * normal(WIDTH)} if has["scale"] else {}
        own |= {"recurrent": normal(WIDTH, WIDTH)} if has["recurrent"] else {}
        own |= {"membrane": normal(WIDTH, WIDTH)} if has["membrane"] else {}
        own |= {"low": normal(width, 2), "rank": normal(2, WIDTH)} if has["low"] else {}
        own |= {"before": normal(width, width)} if has["before"] else {}
        own |= {"decay": jnp.asarray(0.7)} if has["decay"] else {}
        cell = Own() if has["decay"] else CELLS[rng.integers(len(CELLS))]
        params[str(i)] = own
        layers.append((cell, has))
        width = WIDTH
    readout = rng.choice(["none", "leaky", "both"])
    params["out"], params["also"] = normal(WIDTH, 2), normal(WIDTH, 2)
    tied = rng.random() < 0.3 and len(layers) > 1

    def current(p, has, z, old, last):
        z = jax.nn.relu(z @ p["before"]) if has["before"] else z
        u = z @ (p["low"] @ p["rank"] if has["low"] else p["w"]) + p["b"]
        u = u * p["scale"] if has["scale"] else u
        u = u + last @ p["recurrent"] if has["recurrent"] else u
        u = u + jnp.tanh(jax.tree.leaves(old)[0]) @ p["membrane"] if has["membrane"] else u
        u = u - 0.1 * last.sum(-1, keepdims=True) if has["lateral"] else u
        return u + z if has["skip"] else u

    def step(params, state, x):
        x, target = x
        new, z, emitted = [], x, []
        for i, (cell, has) in enumerate(layers):
            p = params[str(i)]
            if tied and i:
                p = {**p, "w": params["0"]["w"]}
            cell = Own(decay=p["decay"]) if "decay" in p else cell
            old, last = state["layers"][i]
            old, z = cell(old, current(p, has, z, old, last))
            new.append((old, z))
            emitted.append(z)
        r, y = state["readout"], z @ params["out"]
        if readout == "both":
            y = y + emitted[0] @ params["also"]
        if readout != "none":
            r, y = js.LI(tau=4.0)(r, y)
        loss = ((y - target) ** 2).mean() + 0.01 * (params["out"] ** 2).sum()
        return {"layers": new, "readout": r, "count": state["count"] + 1}, loss

    rest = [(c.init_state((N, WIDTH), jnp.float64), jnp.zeros((N, WIDTH))) for c, _ in layers]
    state = {
        "layers": rest,
        "readout": js.LI().init_state((N, 2), jnp.float64),
        "count": jnp.zeros((), jnp.int32),
    }
    xs = (jnp.asarray(2.0 * (rng.random((STEPS, N, WIDTH)) < 0.6)), normal(STEPS, N, 2))
    return step, params, state, xs


def first(xs):
    """The input of the first step."""
    return jax.tree.map(lambda a: a[0], xs)


def in_reverse(step, params, state, xs, has_aux=False):
    """The loss and gradient of a sequence by reverse mode."""

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=has_aux)
    def total(params):
        ys = jax.lax.scan(functools.partial(step, params), state, xs)[1]
        return (ys[0].sum(), ys[1]) if has_aux else ys.sum()

    return total(params)


def check_spikes(step, params, state, xs):
    """Every array of spikes in the state has some, and not always: silence would equal anything."""

    def visit(state, x):
        return (step(params, state, x)[0],) * 2

    seen = jax.tree.leaves(jax.jit(functools.partial(jax.lax.scan, visit))(state, xs)[1])
    spikes = [a for a in map(np.asarray, seen) if a.dtype.kind == "f" and np.isin(a, (0, 1)).all()]
    assert spikes
    assert all(0.04 < a.mean() < 0.96 for a in spikes), [a.mean() for a in spikes]


def forward(online, params, state, xs):
    """The loss and gradient of a sequence forward in time."""
    state = online.init_state(params, state, first(xs))
    return jax.jit(js.learning.accumulate(online))(params, state, xs)[1]


def error(got, want):
    """The largest difference of two pytrees, relative to each array."""
    pairs = zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True)
    return max(float(jnp.abs(a - b).max() / (jnp.abs(b).max() + 1e-9)) for a, b in pairs)
