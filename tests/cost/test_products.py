"""The operations of single products, against brute force."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxspike.cost import counters, products


def equation(f, *args):
    jaxpr = jax.make_jaxpr(f)(*args)
    (eqn,) = [e for e in jaxpr.eqns if products.is_product(e)]
    return eqn


def operands(key, *shapes):
    keys = jax.random.split(jax.random.key(key), len(shapes))
    return [
        jax.random.randint(k, s, -2, 3).astype(jnp.float32)
        for k, s in zip(keys, shapes, strict=True)
    ]


DOTS = {
    "matrix": ((3, 5), (5, 4), (((1,), (0,)), ((), ()))),
    "left": ((5, 3), (4, 5), (((0,), (1,)), ((), ()))),
    "batched": ((2, 3, 5), (2, 4, 5), (((2,), (2,)), ((0,), (0,)))),
    "two axes": ((3, 2, 5), (5, 2, 4), (((2, 1), (0, 1)), ((), ()))),
    "no axis": ((30,), (40,), (((), ()), ((), ()))),
    "everything": ((3, 2, 4, 5), (4, 5, 3, 6), (((3,), (1,)), ((0, 2), (2, 0)))),
}
CONVOLUTIONS = {
    "plain": ((2, 7, 7, 3), (3, 3, 3, 4), {}),
    "stride": ((2, 7, 8, 3), (3, 2, 3, 4), {"window_strides": (2, 3), "padding": "VALID"}),
    "dilated": ((2, 9, 7, 3), (3, 2, 3, 4), {"rhs_dilation": (2, 1), "padding": ((3, 0), (1, 2))}),
    "transposed": (
        (2, 4, 5, 3),
        (3, 3, 3, 4),
        {"lhs_dilation": (2, 3), "padding": ((2, 1), (0, 2))},
    ),
    "groups": ((2, 5, 5, 6), (3, 3, 2, 9), {"feature_group_count": 3}),
    "depthwise": ((2, 5, 5, 3), (3, 3, 1, 3), {"feature_group_count": 3}),
    "batch groups": ((4, 5, 5, 3), (3, 3, 3, 6), {"batch_group_count": 2}),
}


def cases():
    for name, (a, b, numbers) in DOTS.items():
        yield name, a, b, lambda x, y, n=numbers: lax.dot_general(x, y, n)
    for name, (a, b, options) in CONVOLUTIONS.items():
        options = {"window_strides": (1, 1), "padding": "SAME"} | options

        def convolve(x, y, options=options):
            return lax.conv_general_dilated(
                x, y, **options, dimension_numbers=("NHWC", "HWIO", "NHWC")
            )

        yield name, a, b, convolve


CASES = list(cases())


@pytest.mark.parametrize(("name", "left", "right", "f"), CASES, ids=[c[0] for c in CASES])
def test_pairs_are_those_of_the_whole_product(name, left, right, f):
    a, b = operands(0, left, right)
    eqn = equation(f, a, b)
    present = [(v != 0).astype(jnp.float32) for v in (a, b)]
    ones = [jnp.ones_like(v) for v in (a, b)]
    kinds = jnp.stack([a, present[0], a + 0.25])  # whole numbers, spikes, real numbers
    counts = jax.jit(jax.vmap(lambda x: products.measure(eqn, [x, b], [True, False])))(kinds)
    whole, spikes, real = (
        {k: counters.integer(v[i]) for k, v in counts._asdict().items()} for i in range(3)
    )
    whole_product = jax.jit(f)

    def brute_force(x, y):
        return int(np.asarray(whole_product(x, y), np.float64).sum())

    effective, dense = brute_force(*present), brute_force(*ones)
    fan_out = brute_force(present[0], ones[1])
    zeros = ("ac", "multi", "mac", "spike_fan_out", "dense_mac", "spikes", "dense_elements")
    none = dict.fromkeys(zeros, 0)
    sizes = {"elements": a.size, "bytes": 4 * a.size, "outputs": whole_product(a, b).size}
    both = none | sizes | {"effective": effective, "dense": dense}
    nonzeros = {"nonzeros": int(present[0].sum())}
    as_dense = {"dense_mac": dense, "dense_elements": a.size}
    multi = brute_force(abs(a), present[1])
    assert effective < dense and multi != effective
    assert whole == both | nonzeros | as_dense | {"multi": multi}
    sent = {"ac": effective, "spike_fan_out": fan_out, "spikes": nonzeros["nonzeros"]}
    assert spikes == both | nonzeros | sent
    assert real == both | as_dense | {
        "mac": brute_force(ones[0], present[1]),
        "effective": brute_force(ones[0], present[1]),
        "nonzeros": a.size,
    }


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ([1, 0, 1], [0.5, 0.5, 0.0], "ac"),
        ([0.5, 0.5, 0.0], [1, 0, -1], "ac"),
        ([3, 0, 1], [0.5, 0.5, 2.5], "multi"),
        ([0.5, 0.5, 2.5], [3, 0, 1], "multi"),
        ([0.5, 0.1, 1], [0.5, 0.5, 2], "mac"),
    ],
)
def test_a_product_of_activations_has_the_cheapest_class(left, right, expected):
    a, b = jnp.asarray(left, jnp.float32)[None], jnp.asarray(right, jnp.float32)[:, None]
    eqn = equation(jnp.matmul, a, b)
    got = jax.jit(lambda a, b: products.measure(eqn, [a, b], [True, True]))(a, b)
    counts = {k: counters.integer(getattr(got, k)) for k in ("ac", "multi", "mac")}
    assert {k for k, n in counts.items() if n} == {expected}
    assert counters.integer(got.elements) == 6
    if expected == "multi":
        assert counts["multi"] == 4  # a 3 that meets a number, and a 1 that does


@pytest.mark.parametrize("size", [0, 1, 2, 65_535, 65_536, 65_537, 300_000])
def test_sums_are_exact(size):
    x = np.random.default_rng(size).integers(0, 2**32, size, dtype=np.uint32)
    x[x.size // 2 :] = 2**32 - 1
    assert counters.integer(counters.total(jnp.asarray(x))) == sum(map(int, x)) % 2**48


def test_counts_add_up():
    numbers = [0, 1, 2**16 - 1, 2**16, 2**32, 2**40 + 12345, 2**46 - 1]
    words = jnp.stack([counters.constant(n) for n in numbers])
    assert counters.integer(counters.total_over_steps(words)) == sum(numbers)
    both = counters.add(words, words[::-1])
    assert counters.integers(both) == [a + b for a, b in zip(numbers, numbers[::-1], strict=True)]


def test_more_than_float32_can_count():
    x, w = jnp.ones((300, 40_001)), jnp.ones((40_001, 299))
    eqn = equation(jnp.matmul, x, w)
    got = jax.jit(lambda x, w: products.measure(eqn, [x, w], [True, False]))(x, w)
    assert counters.integer(got.effective) == 300 * 40_001 * 299 > 2**31


def test_what_cannot_be_counted_exactly_is_refused():
    a, b = (
        jax.ShapeDtypeStruct((2**20, 1), jnp.float32),
        jax.ShapeDtypeStruct((1, 2**20), jnp.float32),
    )
    eqn = equation(jnp.matmul, a, b)
    with pytest.raises(ValueError) as e:
        jax.eval_shape(lambda x, w: products.measure(eqn, [x, w], [True, False]), a, b)
    assert str(e.value) == (
        "`operations(x_seq=...)` must be small enough to count exactly, got a product of "
        "(1048576, 1) and (1, 1048576). Give fewer samples at a time."
    )
