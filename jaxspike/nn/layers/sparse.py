"""`SparseLinear`: a linear layer with few connections, which computes what spikes cause."""

import functools
import math
from collections.abc import Callable
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jax.custom_derivatives import SymbolicZero
from numpy.typing import ArrayLike

from ... import _check
from ..._state import output_dtype
from ..._types import Array, Shape
from ...engine import fold_batch, one_cpu
from ..module import Constant

Init = Callable[..., Any]
LECUN_NORMAL: Init = nnx.initializers.lecun_normal()  # as in `nnx.Linear`

# Nanoseconds on one CPU, by which `_few_rows` decides (`python -m benchmarks.sparse`).
ACTIVE = (
    0.2  # the share of inputs taken to be nonzero; if all are, the loop is up to 5 times slower
)
INPUT, SYNAPSE = 35.0, 1.5  # event loop: looking at an input, adding a weight
READ, MULTIPLY = 0.2, 0.03  # dense product: reading a weight, multiplying it by one input
PLACE = 2.0  # putting a weight into the matrix


class SparseLinear(nnx.Module):
    r"""A linear layer in which each input reaches only some outputs, chosen at random.

    With the connections :math:`i \to j` of weight :math:`w_{ij}`,

    .. math:: y_j = b_j + \sum_{i \to j} w_{ij} x_i

    for any real input. The gradients are exact, and there are none for connections that do not
    exist. On a single CPU, where few rows of inputs are given at a time, only the weights of inputs
    that are not zero are read; otherwise, and on other devices, it is a matrix product. Which one
    is decided by shapes when the program is traced, and changes rounding only.

    ``kernel``, ``[in_features, k]``, has the weights of each input and ``targets`` the outputs that
    they lead to, where k is the largest fan-out; inputs with fewer connections have targets equal
    to ``out_features`` at the end, and zeros there. It has no state: use it as a `flax.nnx.Linear`.

    Args:
        in_features: Size of the last axis of the input.
        out_features: Size of the last axis of the output.
        fan_in: The number of inputs of each output, at most ``in_features``. Give either this or
            one of the next two.
        fan_out: The number of outputs of each input, at most ``out_features``.
        probability: The probability of each connection, in (0, 1].
        use_bias: Whether there is a bias.
        kernel_init: Initializer of the weights; it sees the mean fan-in as the number of inputs.
        bias_init: Initializer of the bias.
        rngs: Source of keys; its stream ``params``. Under a transformation such as `jax.jit` or
            `flax.nnx.vmap` only ``fan_out`` has a known number of connections.

    Raises:
        TypeError: If not exactly one of ``fan_in``, ``fan_out`` and ``probability`` is given, or an
            argument is of another type, or the input is complex.
        ValueError: If one is out of range, or the input has another number of features.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> layer = js.nn.SparseLinear(1000, 500, fan_out=20, rngs=nnx.Rngs(0))
        >>> layer.kernel.shape, layer(jnp.ones((4, 1000))).shape
        ((1000, 20), (4, 500))

    NEST calls the three ``fixed_indegree``, ``fixed_outdegree`` and ``pairwise_bernoulli``.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        fan_in: int | None = None,
        fan_out: int | None = None,
        probability: float | None = None,
        use_bias: bool = True,
        kernel_init: Init = LECUN_NORMAL,
        bias_init: Init = nnx.initializers.zeros,
        rngs: nnx.Rngs,
    ):
        n_in = _check.integer("`SparseLinear(in_features=...)`", in_features, low=1)
        n_out = _check.integer("`SparseLinear(out_features=...)`", out_features, low=1)
        self.in_features, self.out_features = n_in, n_out
        given = {"fan_in": fan_in, "fan_out": fan_out, "probability": probability}
        given = {name: value for name, value in given.items() if value is not None}
        if len(given) != 1:
            raise TypeError(
                "`SparseLinear` must be given one of `fan_in`, `fan_out` and `probability`, got "
                f"{' and '.join(given) or 'none'}. Give `fan_out=100`."
            )
        targets = _connect(rngs.params(), (n_in, n_out), **given)
        is_there = targets < n_out
        n = targets.size if fan_out is not None else int(is_there.sum())
        weights = kernel_init(rngs.params(), (max(1, math.ceil(n / n_out)), n_out)).ravel()
        place = jnp.cumsum(is_there.ravel()).reshape(targets.shape) - 1
        self.kernel = nnx.Param(jnp.where(is_there, weights[place], 0))
        self.targets = Constant(targets)
        self.bias = nnx.Param(bias_init(rngs.params(), (n_out,))) if use_bias else nnx.data(None)

    @classmethod
    def from_coo(
        cls,
        sources: ArrayLike,
        targets: ArrayLike,
        weights: ArrayLike,
        shape: Shape,
        bias: ArrayLike | None = None,
    ) -> Self:
        """A layer of given connections, such as those of a sparse matrix.

        Of a ``BCOO`` matrix: ``from_coo(*matrix.indices.T, matrix.data, matrix.shape)``. Several
        connections of the same two neurons add up.

        Args:
            sources: The input of each connection, integers ``[n]``.
            targets: The output of each connection, ``[n]``.
            weights: The weight of each connection, ``[n]``.
            shape: ``(in_features, out_features)``.
            bias: The bias, ``[out_features]``, or None.

        Raises:
            TypeError: If ``sources`` or ``targets`` are not integers, or weights not real.
            ValueError: If they differ in length, or are not inside ``shape``.

        Example:
            >>> import jax.numpy as jnp, jaxspike as js
            >>> layer = js.nn.SparseLinear.from_coo([0, 2], [1, 0], [0.5, 2.0], (3, 2))
            >>> layer(jnp.array([1.0, 1.0, 1.0]))
            Array([2. , 0.5], dtype=float32)
        """
        call = "`SparseLinear.from_coo"
        n_in, n_out = (_check.integer(f"{call}(shape=...)`", n, low=1) for n in shape)
        sources = _check.array(f"{call}(sources=...)`", sources, "n", kinds="iu").astype(np.int64)
        n = len(sources)
        targets = _check.array(f"{call}(targets=...)`", targets, n, kinds="iu").astype(np.int64)
        weights = _real(f"{call}(weights=...)`", weights, n)
        _check.in_range(f"{call}(sources=...)`", sources, low=0, below=n_in)
        _check.in_range(f"{call}(targets=...)`", targets, low=0, below=n_out)
        layer = cls(n_in, n_out, fan_out=1, use_bias=bias is not None, rngs=nnx.Rngs(0))
        places, k = _places(sources, n_in)
        at_source = np.full((n_in, k), n_out)
        at_source[places] = targets
        kernel = np.zeros((n_in, k), weights.dtype)
        kernel[places] = weights
        layer.targets = Constant(jnp.asarray(at_source, jnp.int32))
        layer.kernel = nnx.Param(jnp.asarray(kernel))
        if bias is not None:
            layer.bias = nnx.Param(jnp.asarray(_real(f"{call}(bias=...)`", bias, n_out)))
        return layer

    @classmethod
    def from_dense(cls, kernel: ArrayLike, bias: ArrayLike | None = None) -> Self:
        """A layer of the weights of a matrix ``[in_features, out_features]`` that are not zero.

        Args:
            kernel: The matrix, such as the kernel of a pruned `flax.nnx.Linear`.
            bias: The bias, ``[out_features]``, or None.
        """
        where = "`SparseLinear.from_dense(kernel=...)`"
        matrix = _check.array(where, kernel, "in", "out", kinds="fiu")
        sources, targets = np.nonzero(matrix)
        return cls.from_coo(sources, targets, matrix[sources, targets], matrix.shape, bias)

    def to_dense(self) -> Array:
        """The weights as a matrix, ``[in_features, out_features]``."""
        return _dense(self.kernel[...], self.targets[...], self.out_features)

    def __call__(self, x: Array) -> Array:
        """The outputs ``[*, out_features]`` of inputs ``[*, in_features]``."""
        x = jnp.asarray(x)
        if jnp.iscomplexobj(x):
            raise TypeError(f"`SparseLinear(x)` must be real, got {x.dtype}. Give `x.real`.")
        _check.axes("`SparseLinear(x)`", x, "...", self.in_features)
        kernel, targets = self.kernel[...], self.targets[...]
        dtype = jnp.promote_types(output_dtype(x), kernel.dtype)
        x, kernel = x.astype(dtype), kernel.astype(dtype)
        if _few_rows(x, kernel, self.out_features):
            rows = x.reshape(-1, self.in_features)
            y = _by_events(self.out_features, rows, kernel, targets)
            y = y.reshape(*x.shape[:-1], self.out_features)
        else:
            matrix = _dense(kernel, targets, self.out_features)
            y = fold_batch(lambda x: x @ matrix, x)
        return y if self.bias is None else y + self.bias[...].astype(dtype)


def _real(where: str, x: object, n: int) -> np.ndarray:
    """``x`` as floating point in the precision that JAX has."""
    given = _check.array(where, x, n, kinds="fiu")
    dtype = given.dtype if given.dtype.kind == "f" else np.float32
    return given.astype(jax.dtypes.canonicalize_dtype(dtype))


def _connect(key: Array, shape: Shape, fan_in=None, fan_out=None, probability=None) -> Array:
    """The targets of each input, ``[in, k]``, in order; those that do not exist are the last."""
    n_in, n_out = shape
    if fan_out is not None:
        k = _check.integer("`SparseLinear(fan_out=...)`", fan_out, low=1, high=n_out)
        return _choose(key, n_in, n_out, k)
    if isinstance(key, jax.core.Tracer):
        raise TypeError(
            "`SparseLinear` with `fan_in` or `probability` must be made outside of transformations "
            "such as `jax.jit`: the number of connections is random. Give `fan_out` instead."
        )
    if fan_in is not None:
        k = _check.integer("`SparseLinear(fan_in=...)`", fan_in, low=1, high=n_in)
        sources = np.asarray(_choose(key, n_out, n_in, k)).ravel()
        places, most = _places(sources, n_in)
        targets = np.full((n_in, most), n_out, np.int32)
        targets[places] = np.repeat(np.arange(n_out), k)
        return jnp.asarray(targets)
    p = _check.number("`SparseLinear(probability=...)`", probability, above=0)
    _check.in_range("`SparseLinear(probability=...)`", p, high=1)
    numbers, chosen = jax.random.split(key)
    counts = jax.random.binomial(numbers, n_out, p, (n_in,)).astype(jnp.int32)
    most = max(1, int(counts.max()))
    there = jnp.arange(most) < counts[:, None]
    return jnp.sort(jnp.where(there, _choose(chosen, n_in, n_out, most, ordered=False), n_out))


def _choose(key: Array, rows: int, n: int, k: int, ordered: bool = True) -> Array:
    """For each row k of the numbers below n, all different, ``[rows, k]``."""

    def row(key):
        _, chosen = lax.top_k(jax.random.bits(key, (n,), jnp.uint32), k)
        return jnp.sort(chosen) if ordered else chosen

    return lax.map(row, jax.random.split(key, rows)).astype(jnp.int32)


def _places(sources: np.ndarray, n_in: int) -> tuple[tuple[np.ndarray, np.ndarray], int]:
    """Where in ``[in, k]`` each connection is kept, and k."""
    counts = np.bincount(sources, minlength=n_in)
    order = np.argsort(sources, kind="stable")
    first = np.cumsum(counts) - counts
    column = np.empty_like(sources)
    column[order] = np.arange(len(sources)) - np.repeat(first, counts)
    return (sources, column), max(1, int(counts.max()))


def _few_rows(x: Array, kernel: Array, n_out: int) -> bool:
    """Whether the event loop is faster than a dense product, which reads its matrix only once."""
    if not one_cpu() or not all(isinstance(n, int) for n in x.shape):
        return False
    rows, fan_out = math.prod(x.shape[:-1]), kernel.shape[1]
    dense = n_out * (READ + rows * MULTIPLY) + PLACE * fan_out
    return rows * (INPUT + ACTIVE * SYNAPSE * fan_out) < dense


def _dense(kernel: Array, targets: Array, n_out: int) -> Array:
    matrix = jnp.zeros((len(kernel), n_out), kernel.dtype)
    return matrix.at[jnp.arange(len(kernel))[:, None], targets].add(kernel, mode="drop")


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _by_events(n_out: int, x: Array, kernel: Array, targets: Array) -> Array:
    """The product of rows ``[rows, in]``, a loop over the inputs that are not zero."""

    def row(x):
        (events,) = jnp.nonzero(x, size=len(x), fill_value=0)

        def add(i, y):
            at = events[i]
            return y.at[targets[at]].add(x[at] * kernel[at], mode="drop")

        return lax.fori_loop(0, jnp.count_nonzero(x), add, jnp.zeros(n_out, x.dtype))

    return lax.map(row, x)


def _by_events_jvp(n_out: int, primals, tangents):
    x, kernel, targets = primals

    def product(x, kernel):  # linear in both, as JAX sees it: not a loop of unknown length
        def row(x):
            y = jnp.zeros(n_out, kernel.dtype)
            return y.at[targets].add(x[:, None] * kernel, mode="drop")

        return lax.map(row, x)

    dx, dkernel, _ = tangents
    y = _by_events(n_out, x, kernel, targets)
    dy = jnp.zeros_like(y)
    if not isinstance(dx, SymbolicZero):
        dy += product(dx, kernel)
    if not isinstance(dkernel, SymbolicZero):
        dy += product(x, dkernel)
    return y, dy


_by_events.defjvp(_by_events_jvp, symbolic_zeros=True)
