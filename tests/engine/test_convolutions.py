"""Convolutions rewritten for the fast kernel of XLA:CPU."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxspike.engine.program import jaxprs_in, with_fast_convolutions

LAST = lax.ConvDimensionNumbers((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))


def layouts(eqns):
    """The axes of all convolutions, also of those in loops."""
    for e in eqns:
        if e.primitive.name == "conv_general_dilated":
            yield e.params["dimension_numbers"]
        for inner in jaxprs_in(e):
            yield from layouts(inner.eqns)


@pytest.mark.parametrize(
    ("axes", "x", "kernel"),
    [
        (("NHWC", "HWIO", "NHWC"), (2, 5, 6, 3), (3, 2, 3, 4)),
        (("NCHW", "OIHW", "CNHW"), (2, 3, 5, 6), (4, 3, 3, 2)),
    ],
)
def test_gradients_in_loops(axes, x, kernel):
    rng = np.random.default_rng(0)
    xs, kernel = jnp.asarray(rng.normal(size=(3, *x))), jnp.asarray(rng.normal(size=kernel))

    def gradient(kernel, xs):
        def loss(kernel, x):
            kind = {"rhs_dilation": (1, 2), "dimension_numbers": axes}
            y = lax.conv_general_dilated(x, kernel, (2, 1), "SAME", **kind)
            return (jnp.where(y.sum() > 0, y, 2 * y) ** 2).sum()

        def body(total, x):
            grads = jax.jit(jax.grad(loss, (0, 1)))(kernel, x)
            return total + grads[0], grads[1]

        return {"found": lax.scan(body, 0 * kernel, xs)}

    fast = with_fast_convolutions(gradient)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
        fast(kernel, xs),
        gradient(kernel, xs),
    )
    assert set(layouts(jax.make_jaxpr(fast)(kernel, xs).eqns)) == {LAST}
    assert set(layouts(jax.make_jaxpr(gradient)(kernel, xs).eqns)) != {LAST}
