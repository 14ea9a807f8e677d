"""`SparseLinear`: a dense product with zeros, whichever way it is computed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxspike as js

N, FAN_OUT = 400, 10
WAYS = {"events": (2,), "product": (50,)}  # the shapes that are computed by each


def make(n_in=N, seed=0, **options):
    options = {"fan_out": FAN_OUT, **options}
    return js.nn.SparseLinear(n_in, N, rngs=nnx.Rngs(seed), **options)


@pytest.fixture(scope="module")
def layer():
    layer = make(40)
    layer.bias[...] = jnp.linspace(-1, 1, N)
    return layer


def matrix(layer):
    """The weights as NumPy places them."""
    kernel, targets = np.asarray(layer.kernel[...]), np.asarray(layer.targets[...])
    dense = np.zeros((layer.in_features, layer.out_features + 1), np.float32)
    np.add.at(dense, (np.arange(len(kernel))[:, None], targets), kernel)
    return dense[:, :-1]


def inputs(*shape, seed=3):
    x = jax.random.normal(jax.random.key(seed), shape)
    return jnp.where(abs(x) > 1, x, 0)


def raises(kind, sentence, f, *args, **kwargs):
    with pytest.raises(kind) as caught:
        f(*args, **kwargs)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("way", WAYS)
def test_values_and_derivatives_are_those_of_a_dense_product(layer, way):
    x, dense = inputs(*WAYS[way], 40), jnp.asarray(matrix(layer))
    graph, params, others = nnx.split(layer, nnx.Param, ...)
    at = np.arange(40)[:, None], layer.targets[...]

    def sparse(kernel, x):
        params["kernel"] = params["kernel"].replace(kernel)
        return nnx.merge(graph, params, others, copy=True)(x)

    def product(kernel, x):
        kernel = jnp.zeros_like(dense).at[at].set(kernel)
        return jnp.dot(x, kernel, precision="highest") + layer.bias[...]

    def everything(f, kernel, x):
        def slope(kernel, x):
            return jax.grad(lambda *a: (f(*a) ** 3).sum(), (0, 1))(kernel, x)

        again = jax.grad(lambda *a: sum((g**2).sum() for g in slope(*a)), (0, 1))
        forward = jax.jvp(f, (kernel, x), (kernel + 1, 2 * x))
        return forward, slope(kernel, x), again(kernel, x)

    kernel = layer.kernel[...]
    assert ("while" in str(jax.make_jaxpr(sparse)(kernel, x))) == (way == "events")
    got, want = jax.jit(lambda *a: [everything(f, *a) for f in (sparse, product)])(kernel, x)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3 * np.abs(b).max())


def test_inputs_of_any_kind_and_vmap(layer, mixed_dtypes):
    x, dense = inputs(4, 40), matrix(layer)
    bias = layer.bias[...]
    kinds = [(x[0], x[0]), (x[0] > 0, x[0] > 0), (x[:2, None].astype(jnp.bfloat16),) * 2]
    for x_in, same in [*kinds, ((3 * x[0]).astype(int), (3 * x[0]).astype(int))]:
        y = layer(x_in)
        want = np.asarray(same, np.float32) @ dense + bias
        np.testing.assert_allclose(y, want, rtol=1e-5, atol=1e-5)
        assert y.dtype == jnp.float32
    np.testing.assert_allclose(jax.vmap(layer)(x), x @ dense + bias, rtol=1e-5, atol=1e-5)
    nets = nnx.vmap(lambda key: js.nn.SparseLinear(40, N, fan_out=FAN_OUT, rngs=nnx.Rngs(key)))(
        jax.random.split(jax.random.key(0), 3)
    )
    several = nnx.vmap(lambda net, x: net(x), in_axes=(0, None))(nets, x[0])
    for i in range(3):
        net = jax.tree.map(lambda a, i=i: a[i], nets)
        np.testing.assert_allclose(several[i], x[0] @ matrix(net), rtol=1e-5, atol=1e-5)
    assert np.any(several[0] != several[1])


def dense_of(layer):
    linear = nnx.Linear(layer.in_features, N, use_bias=layer.bias is not None, rngs=nnx.Rngs(0))
    linear.kernel[...] = jnp.asarray(matrix(layer))
    return linear


def test_a_network_is_that_of_dense_layers():
    first, back = make(20), make(use_bias=False, seed=1)
    lif = js.LIF(v_threshold=0.4)
    sparse = js.nn.Sequential(first, js.nn.Recurrent(lif, back))
    dense = js.nn.Sequential(dense_of(first), js.nn.Recurrent(lif, dense_of(back)))
    xs = 3 * inputs(12, 1, 20)

    def results(net, xs):
        graph, params, others = nnx.split(net, nnx.Param, ...)

        def loss(params, xs):
            net = nnx.merge(graph, params, others)
            y = js.scan(net, net.init_state((1, 20)), xs)[1]
            return (y * jnp.linspace(0, 0.1, N)).sum(), y

        (dw, dx), y = jax.grad(loss, (0, 1), has_aux=True)(params, xs)
        return dw["layers"][0]["kernel"][...], dw["layers"][1]["feedback"]["kernel"][...], dx, y

    (*want, y_want), (*got, y) = jax.jit(lambda xs: [results(net, xs) for net in (dense, sparse)])(
        xs
    )
    assert 0.02 < y.mean() < 0.9
    np.testing.assert_array_equal(y, y_want)
    for i, layer in enumerate((first, back)):
        want[i] = want[i][np.arange(len(want[i]))[:, None], layer.targets[...]]
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


# ---- connections


def test_connections_are_as_many_as_asked_for():
    for options in ({"fan_in": 30}, {"fan_out": 30}, {"probability": 0.1}):
        layer = js.nn.SparseLinear(100, 200, **options, rngs=nnx.Rngs(0))
        weights = matrix(layer)
        there = weights != 0
        if "fan_in" in options:
            assert set(there.sum(0)) == {30}
        elif "fan_out" in options:
            assert set(there.sum(1)) == {30}
        else:
            assert abs(there.mean() - 0.1) < 0.01
            assert len(set(there.sum(1))) > 5  # not a fixed number
        assert there.sum(0).min() > 0 and np.ptp(there.sum(0) + there.sum(1)[:100].mean()) < 40
        # as a linear layer of that many inputs
        np.testing.assert_allclose(weights[there].std(), there.sum(0).mean() ** -0.5, rtol=0.05)
        assert (np.diff(layer.targets[...]) >= 0).all()
        np.testing.assert_array_equal(layer.to_dense(), weights)


def test_given_connections():
    rng = np.random.default_rng(0)
    dense = np.where(rng.random((6, 5)) < 0.4, rng.normal(size=(6, 5)), 0).astype(np.float32)
    bias = np.arange(5.0, dtype=np.float32)
    layer = js.nn.SparseLinear.from_dense(dense, bias)
    np.testing.assert_array_equal(layer.to_dense(), dense)
    np.testing.assert_array_equal(layer(jnp.zeros(6)), bias)
    assert (layer.kernel.shape[1], layer.bias.shape) == ((dense != 0).sum(1).max(), (5,))
    twice = js.nn.SparseLinear.from_coo([1, 1, 0], [2, 2, 0], [1.0, 2.0, 4], (2, 3))
    np.testing.assert_array_equal(twice.to_dense(), [[4, 0, 0], [0, 0, 3]])
    assert twice.bias is None
    empty = js.nn.SparseLinear.from_dense(np.zeros((2, 3)))
    np.testing.assert_array_equal(empty(jnp.ones((4, 2))), np.zeros((4, 3)))


def test_errors():
    sparse, rngs = js.nn.SparseLinear, nnx.Rngs(0)
    sentence = (
        "`SparseLinear` must be given one of `fan_in`, `fan_out` and `probability`, got {}. "
        "Give `fan_out=100`."
    )
    raises(TypeError, sentence.format("none"), sparse, 4, 4, rngs=rngs)
    both = sentence.format("fan_in and probability")
    raises(TypeError, both, sparse, 4, 4, fan_in=2, probability=0.1, rngs=rngs)
    sentence = "`SparseLinear(fan_in=...)` must be from 1 to 4, got 5."
    raises(ValueError, sentence, sparse, 4, 9, fan_in=5, rngs=rngs)
    sentence = "`SparseLinear(probability=...)` must be at most 1, got 1.5."
    raises(ValueError, sentence, sparse, 4, 9, probability=1.5, rngs=rngs)
    sentence = (
        "`SparseLinear` with `fan_in` or `probability` must be made outside of transformations "
        "such as `jax.jit`: the number of connections is random. Give `fan_out` instead."
    )
    traced = jax.jit(lambda key: sparse(4, 4, fan_in=2, rngs=nnx.Rngs(key)).kernel[...])
    raises(TypeError, sentence, traced, jax.random.key(0))
    sentence = "`SparseLinear(x)` must be [..., 40], got the shape (3, 41)."
    raises(ValueError, sentence, make(40), jnp.ones((3, 41)))
    sentence = "`SparseLinear(x)` must be real, got complex64. Give `x.real`."
    raises(TypeError, sentence, make(40), jnp.ones((3, 40), jnp.complex64))
    sentence = "`SparseLinear.from_coo(targets=...)` must be at least 0 and less than 3, got [3]."
    raises(ValueError, sentence, sparse.from_coo, [0], [3], [1.0], (2, 3))


# ---- in the library


def test_it_is_metered_summarized_exported_and_converted():
    net = js.nn.Sequential(make(), js.LIF(v_threshold=0.3))
    state, xs = net.init_state((1, N)), (inputs(6, 1, N) > 1.2).astype(float)
    report = js.cost.operations(net, state, xs)
    assert "while" in str(
        jax.make_jaxpr(lambda x: net(state, x))(xs[0])
    )  # by events, not metered so
    assert (report.ac, report.mac) == (int(xs.sum()) * FAN_OUT, 0)
    assert [row.name for row in report.rows()] == ["0.kernel"] and not report.uncounted
    assert js.summary(net, (1, N)).layers["0"].parameters == N * FAN_OUT + N
    again = js.nir.from_nir(js.nir.to_nir(net, (N,)))
    np.testing.assert_allclose(
        again(again.init_state((1, N)), xs)[1], net(state, xs)[1], rtol=1e-5, atol=1e-5
    )
    sentence = (
        "`from_torch(net=...)` must have a counterpart in PyTorch, got a SparseLinear with "
        "['bias', 'kernel', 'targets'] at `0`. "
        "Use nnx.Linear, Conv, ConvTranspose, Embed or one of its normalizations."
    )
    raises(TypeError, sentence, js.convert.from_torch, net, {}, shape=(1, N))
