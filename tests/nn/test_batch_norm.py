"""`BatchNorm`: the results of Flax with an exact variance, and what its gradient stores."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.test_util import check_grads

import jaxspike as js

C, HALF = 3, jnp.bfloat16
X = 5.0 + 2 * jax.random.normal(jax.random.key(0), (6, 4, 2, C))


def layers(**options):
    rngs = (nnx.Rngs(0) for _ in range(2))
    of_flax = nnx.BatchNorm(C, rngs=next(rngs), **{"use_fast_variance": False, **options})
    return js.nn.BatchNorm(C, rngs=next(rngs), **options), of_flax


def run(layer, x, **options):
    """A loss with its gradients, the output, and the statistics after it."""

    def loss(layer, x):
        y = layer(x, **options)
        return (y**3).sum(), y

    (value, y), grads = nnx.value_and_grad(loss, argnums=(0, 1), has_aux=True)(layer, x)
    return value, y, grads, layer.mean[...], layer.var[...]


OPTIONS = {
    "usual": {},
    "momentum": {"momentum": 0.9, "epsilon": 1e-3},
    "no scale": {"use_scale": False},
    "no bias": {"use_bias": False},
    "half precision": {"param_dtype": HALF},
    "another axis": {"axis": 1},
    "dtype": {"dtype": HALF},
    "fast variance": {"use_fast_variance": True},
    "evaluation": {"use_running_average": True},
    "own promotion": {"promote_dtype": lambda xs, dtype: [x.astype(HALF) for x in xs]},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_the_results_are_those_of_flax(options):
    x = X[:, :C] if "axis" in options else X
    with jax.numpy_dtype_promotion("standard"):  # Flax needs it
        ours, theirs = (run(layer, x) for layer in layers(**options))
    leaves = zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
    for a, b in leaves:
        assert a.dtype == b.dtype
        np.testing.assert_allclose(*(np.asarray(v, np.float32) for v in (a, b)), 2e-5, 2e-5)


def test_arguments_of_a_call():
    mask = jnp.arange(6).reshape(6, 1, 1, 1) < 4
    for options in ({"mask": mask}, {"use_running_average": True}):
        ours, theirs = (layer(X, **options) for layer in layers())
        np.testing.assert_array_equal(ours, theirs)
    for layer in layers(use_running_average=True):
        layer(X, use_running_average=False)
        assert layer.mean[...].min() > 0.03


@pytest.mark.parametrize("size", [1, 4])
def test_another_number_of_features(size):
    with pytest.raises(ValueError) as e:
        layers()[0](jnp.ones((5, 4, size)))
    assert str(e.value) == (
        f"`BatchNorm(num_features=3)(x=...)` must be [..., 3], got the shape (5, 4, {size})."
    )


def test_the_variance_of_inputs_far_from_zero():
    x = X + 1e4
    ours, fast = js.nn.BatchNorm(C, rngs=nnx.Rngs(0)), nnx.BatchNorm(C, rngs=nnx.Rngs(0))
    assert abs(ours(x).std() - 1) < 1e-3 < abs(fast(x).std() - 1)


def pure(layer):
    """The output of a layer as a function of its input alone."""
    graph, state = nnx.split(layer)
    return lambda x: nnx.merge(graph, state, copy=True)(x)


def test_under_transformations():
    output, many = pure(layers()[0]), jnp.stack([X, 2 * X])
    for f in (output, jax.grad(lambda x: (output(x) ** 3).sum())):
        each = jnp.stack([f(x) for x in many])
        np.testing.assert_allclose(jax.jit(jax.vmap(f))(many), each, 1e-4, 1e-4)
    check_grads(output, (X,), 2, atol=0.1, rtol=0.1)


def test_the_gradient_stores_one_array():
    """The forward pass keeps ``x - mean``, and XLA:CPU does not keep ``x`` to compute it again."""
    for f, arrays in zip(map(pure, layers()), (1, 2), strict=True):
        _, pull = jax.eval_shape(lambda x, f=f: jax.vjp(f, x), X)
        assert sum(a.shape == X.shape for a in jax.tree.leaves(pull)) == arrays
        assert str(jax.make_jaxpr(f)(X)).count("optimization_barrier") == 2 - arrays
