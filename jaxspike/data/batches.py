"""Batches of arrays, in an order that can be resumed."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import _check
from ._arrays import Array


def batches(
    arrays: Sequence[ArrayLike],
    size: int,
    *,
    seed: int | None = None,
    epoch: int = 0,
    start: int = 0,
    drop_last: bool = False,
) -> Iterator[tuple[Array, ...]]:
    """Batches of ``size`` rows of every array; the order is a function of ``(seed, epoch)``.

    A run that stopped in epoch 3 after 40 batches resumes with ``epoch=3, start=40`` and gets the
    batches that it would have got. These two numbers are all the state there is to save.

    Args:
        arrays: Arrays with the same number of rows, such as images and labels.
        size: Rows in a batch.
        seed: The seed of the order; None keeps the order of the arrays.
        epoch: The number of the epoch; each has its own order.
        start: How many batches to skip, up to all of them.
        drop_last: Whether to drop the last batch if it is smaller. A batch of another size is
            recompiled, and its rows weigh more in a mean over batches.

    Returns:
        An iterator over tuples with ``[size, *]`` of each array; its ``len`` is the number of
        batches.

    Raises:
        TypeError: If ``arrays`` is not a tuple or a list.
        ValueError: If the arrays differ in their number of rows, or have none; or if ``start``
            exceeds the number of batches.

    Example:
        >>> import jaxspike.data, numpy as np
        >>> x, y = np.zeros((10, 4)), np.arange(10)
        >>> [rows.tolist() for _, rows in jaxspike.data.batches((x, y), 4)]
        [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
        >>> [len(rows) for _, rows in jaxspike.data.batches((x, y), 4, seed=0, drop_last=True)]
        [4, 4]
    """
    where, fix = "`batches(arrays=...)`", "For a single array, pass `(x,)`."
    _check.instance(where, arrays, tuple | list, "a tuple of arrays", fix, _check.kind)
    rows: list[Any] = [a if hasattr(a, "shape") else np.asarray(a) for a in arrays]
    lengths = sorted({a.shape[0] if a.shape else 0 for a in rows})
    if len(lengths) != 1 or not lengths[0]:
        raise ValueError(f"{where} must have equally many rows, got {lengths}.")
    n = lengths[0]
    high, of = (n, ", the number of rows") if drop_last else (None, "")
    size = _check.integer("`batches(size=...)`", size, low=1, high=high, of=of)
    epoch = _check.integer("`batches(epoch=...)`", epoch, low=0)
    if seed is not None:
        seed = _check.integer("`batches(seed=...)`", seed, low=0)
    number = n // size if drop_last else -(-n // size)
    start = _check.integer("`batches(start=...)`", start, low=0, high=number)
    return _Batches(_walk(rows, n, size, seed, epoch, start, drop_last), number - start)


class _Batches(Iterator[tuple[Array, ...]]):
    """Batches with a ``len``, for progress bars."""

    def __init__(self, batches: Iterator[tuple[Array, ...]], number: int):
        self.batches, self.number = batches, number

    def __next__(self) -> tuple[Array, ...]:
        return next(self.batches)

    def __len__(self) -> int:
        return self.number


def _walk(rows, n, size, seed, epoch, start, drop_last) -> Iterator[tuple[Array, ...]]:
    order = np.arange(n) if seed is None else np.random.default_rng([seed, epoch]).permutation(n)
    end = n - n % size if drop_last else n
    for i in range(start * size, end, size):
        yield tuple(a[order[i : min(i + size, end)]] for a in rows)
