"""Recordings of different lengths as one batch."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from .. import _check
from ._arrays import Array, zeros


def pad(sequences: Sequence[ArrayLike], steps: int | None = None) -> tuple[Array, Array]:
    """Stack sequences ``[t, *]`` to ``[T, N, *]``, with zeros after the end of the shorter ones.

    A fixed ``steps`` gives all batches the same shape, so that a program compiles once.

    Args:
        sequences: N arrays that differ in their first axis only.
        steps: The number of time steps T; None means that of the longest sequence.

    Returns:
        The batch, and the N lengths as int32; see `mask`.

    Raises:
        ValueError: If there are no sequences, their other axes differ, one is longer than
            ``steps``, or the batch does not fit into memory.

    Example:
        >>> import numpy as np, jaxspike.data
        >>> batch, lengths = jaxspike.data.pad([np.ones((2, 3)), np.ones((4, 3))])
        >>> batch.shape, lengths.tolist()
        ((4, 2, 3), [2, 4])
    """
    arrays = [np.asarray(s) for s in sequences]
    if not arrays or any(a.ndim == 0 for a in arrays):
        raise ValueError("`pad(sequences=...)` must be at least one array [t, *].")
    kinds = {(a.shape[1:], str(a.dtype)) for a in arrays}
    if len(kinds) > 1:
        two = " and ".join(f"{dtype} {list(shape)}" for shape, dtype in sorted(kinds)[:2])
        raise ValueError(f"`pad(sequences=...)` must differ in the first axis only, got {two}.")
    longest = max(len(a) for a in arrays)
    steps = longest if steps is None else steps
    of = ", the longest sequence"
    steps = _check.integer("`pad(steps=...)`", steps, low=longest, of=of)
    shape = (steps, len(arrays), *arrays[0].shape[1:])
    batch = zeros("`pad`", shape, arrays[0].dtype, "Give fewer sequences or `steps`.")
    for n, a in enumerate(arrays):
        batch[: len(a), n] = a
    return batch, np.array([len(a) for a in arrays], np.int32)


def mask(lengths: ArrayLike, steps: int) -> Array:
    """Which time steps of a padded batch hold data: ``mask[t, n] = t < lengths[n]``.

    Args:
        lengths: ``[N]``, as `pad` returns them.
        steps: The number of time steps T.

    Returns:
        ``[T, N]``, booleans.

    Raises:
        ValueError: If a length is not from 0 to T.

    Example:
        >>> import jaxspike.data
        >>> jaxspike.data.mask([1, 2], 2).astype(int)
        array([[1, 1],
               [0, 1]])
    """
    steps = _check.integer("`mask(steps=...)`", steps, low=0)
    n = _check.array("`mask(lengths=...)`", lengths, "N", kinds="iu")
    _check.in_range("`mask(lengths=...)`", n, low=0, high=steps)
    real = zeros("`mask`", (steps, len(n)), bool, "Give fewer `steps`.")
    return np.less(np.arange(steps)[:, None], n, out=real)
