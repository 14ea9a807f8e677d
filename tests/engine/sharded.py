"""Run by test_transformations.py in a process with eight simulated devices and x64."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec as P

import jaxspike as js

T, N, C = 9, 16, 4
COLLECTIVES = "all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter"
ALL_AT_ONCE = {"order": "parallel"}
WHOLE = {"unroll": T}  # written out, without a loop
PARALLEL = {"policy": js.Policy(parallel=True)}


def step(params, state, x):
    h = state[0] + (x @ params["w"] - state[0]) / params["tau"]
    s = js.surrogate.spike(h - 1.0, js.surrogate.ATan())
    u = 0.5 * state[1] + s @ params["r"] + state[1] @ params["r"]
    return (h * (1 - s), jnp.tanh(u)), s + u


def results(scan, params, x, **options):
    def loss(p, x):
        state = (jnp.zeros_like(x[0]),) * 2
        state, y = scan(lambda s, x: step(p, s, x), state, x, **options)
        return (y**2).sum() + state[0].sum(), y

    return jax.value_and_grad(loss, (0, 1), has_aux=True)(params, x)


def close(a, b):
    for p, q in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert p.dtype == q.dtype == jnp.float64
        np.testing.assert_allclose(p, q, 1e-10, 1e-10)


def main():
    rng = np.random.default_rng(0)
    params = {
        "w": jnp.asarray(rng.normal(size=(C, C))),
        "r": jnp.asarray(0.3 * rng.normal(size=(C, C))),
        "tau": jnp.asarray(rng.uniform(2, 4, C)),
    }
    x = jnp.asarray(2 * rng.normal(size=(T, N, C)))
    want = results(lambda f, s, x: jax.lax.scan(f, s, x), params, x)
    close(results(js.scan, params, x), want)  # x64

    mesh = Mesh(np.array(jax.devices()), ("batch",))
    split = NamedSharding(mesh, P(None, "batch"))
    sharded = jax.device_put(x, split)
    for options in (
        {},
        {"order": "step", "segment": 2},
        {"segment": "sqrt"},
        WHOLE,
        PARALLEL,
        ALL_AT_ONCE,
    ):
        run = jax.jit(lambda p, x, o=options: results(js.scan, p, x, **o))
        close(run(params, sharded), want)

    # an elementwise layer stays where it is: no device needs another's neurons
    def layer(x, **options):
        return js.scan(lambda v, x: (0.5 * v + x, v), jnp.zeros_like(x[0]), x, **options)[1]

    for options in (PARALLEL, {}):
        loss = jax.jit(jax.grad(lambda x, o=options: (layer(x, **o) ** 2).sum()))
        compiled = loss.lower(sharded).compile()
        assert "all-gather" not in compiled.as_text()
    assert compiled(sharded).sharding.is_equivalent_to(split, 3)

    for options in ({}, {"order": "step"}, WHOLE, ALL_AT_ONCE):
        manual = shard_mapped(mesh, options)
        close(jax.jit(jax.value_and_grad(manual, (0, 1)))(params, sharded), (want[0][0], want[1]))

    s4d = js.nn.SpikingS4D(C, 2, v_threshold=0.0, rngs=nnx.Rngs(0))
    spikes, of_parts = partial(weighted, s4d), {"in_specs": split.spec, "out_specs": split.spec}
    manual = jax.shard_map(lambda x: spikes(x)[1], mesh=mesh, **of_parts)
    close(jax.jit(manual)(x), spikes(x)[1])
    close(jax.jit(jax.grad(an_ensemble(mesh), (0, 1)))(x, TAUS), ensemble(x, TAUS))
    delayed(split, sharded, x)
    convolved(mesh)
    learned(NamedSharding(mesh, P("batch")), params, sharded, x)

    mesh = jax.make_mesh((8,), ("batch",), axis_types=(AxisType.Explicit,))
    with jax.set_mesh(mesh):
        where = NamedSharding(mesh, P()), NamedSharding(mesh, P(None, "batch"))
        typed = jax.device_put((params, x), where)
        for options in ({}, {"order": "step", "segment": "sqrt"}, WHOLE, ALL_AT_ONCE):
            got = jax.jit(lambda p, x, o=options: results(js.scan, p, x, **o))(*typed)
            close(got, want)
            assert jax.typeof(got[1][1]).sharding.spec == P(None, "batch", None)

        # a state at rest is put where its input is
        def from_rest(x, options):
            state, y = js.scan(lambda v, x: (0.5 * v + x, v), jnp.zeros(x.shape[1:]), x, **options)
            return (y**2).sum(), state

        for options in ({}, {"policy": js.Policy(tile=4)}):
            run = jax.value_and_grad(lambda x, o=options: from_rest(x, o), has_aux=True)
            (value, state), g = jax.jit(run)(typed[1])
            assert jax.typeof(state).sharding.spec == P("batch", None)
            close([value, state, g], jax.tree.leaves(jax.jit(run)(x)))
        for net in (js.Delay(3), js.BRF(), s4d):  # v of BRF is split only after its second step
            with_weights = jax.value_and_grad(partial(weighted, net), has_aux=True)
            (value, y), g = jax.jit(with_weights)(typed[1])
            assert jax.typeof(y).sharding.spec == P(None, "batch", None)
            close([value, y, g], jax.tree.leaves(jax.jit(with_weights)(x)))
    print("4 programs equal")


TAUS = jnp.linspace(2.0, 4.0, 8)


def two_layers(scan, x, tau):
    """Of which the first does not depend on ``tau``."""

    def layers(state, x):
        v = state[0] + (x - state[0]) / 2.0
        u = state[1] + (jnp.sin(v) - state[1]) / tau
        return (v, u), (v, u)

    state, (y, z) = scan(layers, (jnp.zeros_like(x[0]),) * 2, x)
    return (y * x).sum() + (z**2).sum() + state[0].sum()


def ensemble(x, taus):
    members = jax.vmap(lambda x, tau: two_layers(jax.lax.scan, x, tau), (None, 0))
    return jax.grad(lambda *args: members(*args).sum(), (0, 1))(x, taus)


def an_ensemble(mesh):
    """A member on each device; `jax.lax.scan` wants a state that varies over them."""

    def loss(x, tau):
        return jax.lax.psum(two_layers(js.scan, x, tau[0]), "batch")

    return jax.shard_map(loss, mesh=mesh, in_specs=(P(), P("batch")), out_specs=P())


def delayed(split, sharded, x):
    """A delay stays where its input is."""
    delay = js.Delay(3)

    def run(x, **options):
        return js.scan(delay, delay.init_state(x.shape[1:], x.dtype), x, **options)

    for options in ({}, {"order": "step"}):
        compiled = jax.jit(run, static_argnames="order").lower(sharded, **options).compile()
        state, y = compiled(sharded)
        assert y.sharding.is_equivalent_to(split, 3)
        np.testing.assert_array_equal(y[3:], x[:-3])
        np.testing.assert_array_equal(state.buffer, run(x)[0].buffer)


def convolved(mesh):
    """A convolution for all steps stays where its images are, also on a mesh of explicit axes."""
    rng = np.random.default_rng(1)
    x, kernel = rng.normal(size=(T, N, 5, 5, 2)), rng.normal(size=(3, 3, 2, 2))
    x = jax.device_put(x, NamedSharding(mesh, P(None, "batch")))

    def conv(x, w, *axes):
        return lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=axes)

    def features_last(x, w):
        return conv(x, w, "NHWC", "HWIO", "NHWC")

    def batch_inside(x, w):
        y = conv(jnp.moveaxis(x, 0, 2), w, "HWNC", "HWIO", "CHNW")
        return jnp.transpose(y, (2, 1, 3, 0))

    def in_scan(f, scan, w, x, **options):
        step = lambda v, x: (0.5 * v + f(x, w), jnp.sin(v))  # noqa: E731
        return scan(step, jnp.zeros_like(x[0]), x, **options)[1]

    def in_layers(kind, wrap, w, x):
        layer = kind(2, 2, (3, 3), use_bias=False, rngs=nnx.Rngs(0))
        layer.kernel = nnx.Param(w)
        net = js.nn.Sequential(wrap(layer), js.LI())
        return net(net.init_state(x.shape[1:], x.dtype), x)[1]

    folded = partial(in_layers, nnx.Conv, js.nn.fold_time)
    programs = [
        (partial(in_scan, features_last, js.scan), partial(in_scan, features_last, lax.scan)),
        (partial(in_scan, features_last, js.scan, order="step"), None),
        (partial(in_scan, batch_inside, js.scan), partial(in_scan, batch_inside, lax.scan)),
        (partial(in_layers, nnx.Conv, lambda layer: layer), folded),
        (partial(in_layers, js.nn.Conv, nnx.Sequential), None),
    ]
    want = None
    for program, plain in programs:
        want = gradients(plain).lower(kernel, x).compile()(kernel, x) if plain else want
        compiled = gradients(program).lower(kernel, x).compile()
        assert [name for name in COLLECTIVES if f" {name}" in compiled.as_text()] == ["all-reduce"]
        close(compiled(kernel, x), want)

    explicit = jax.make_mesh((8,), ("batch",), axis_types=(AxisType.Explicit,))
    with jax.set_mesh(explicit):
        typed = jax.device_put(x, NamedSharding(explicit, P(None, "batch")))
        y = jax.jit(partial(in_scan, features_last, js.scan))(jnp.asarray(kernel), typed)
        assert jax.typeof(y).sharding.spec[1] == "batch"


def weighted(net, x):
    """A loss of the output of a network from rest, and the output."""
    state, weights = net.init_state(x.shape[1:], x.dtype), jnp.arange(1.0, 1 + len(x))
    y = net(state, x)[1] if isinstance(net, nnx.Module) else js.scan(net, state, x)[1]
    return (y * weights[:, None, None]).sum(), y


def gradients(f):
    return jax.jit(jax.value_and_grad(lambda w, x: (f(w, x) ** 2).sum(), (0, 1)))


def learned(split, params, sharded, x):
    """An online gradient, whose traces stay where their samples are."""

    def one(params, state, x):
        state, y = step(params, state, x)
        return state, (y**2).mean()

    online, rest = js.learning.online(one), (jnp.zeros_like(x[0]),) * 2
    run = jax.jit(js.learning.accumulate(online))
    made = online.init_state(params, rest, x[0])
    want = run(params, made, x)
    got = run(params, jax.device_put(made, split), sharded)
    close(got, want)
    assert all(a.sharding.is_equivalent_to(split, a.ndim) for a in jax.tree.leaves(got[0].traces))


def shard_mapped(mesh, options):
    """The loss of ``results`` with every device scanning its part of the batch."""

    def loss(p, x):
        state = (jnp.zeros_like(x[0]),) * 2
        state, y = js.scan(lambda s, x: step(p, s, x), state, x, **options)
        return jax.lax.psum((y**2).sum() + state[0].sum(), "batch")

    return jax.shard_map(loss, mesh=mesh, in_specs=(P(), P(None, "batch")), out_specs=P())


if __name__ == "__main__":
    main()
