"""Events to frames: every event is in exactly one of them, or shared between two."""

from typing import Literal

import numpy as np
from numpy.typing import DTypeLike

from .. import _check
from . import events as _events
from ._arrays import Array, IntArray, zeros
from .events import Events


def to_frames(
    events: Events,
    size: tuple[int, ...],
    *,
    steps: int | None = None,
    duration: int | None = None,
    split_by: Literal["time", "count"] = "time",
    start: int | None = None,
    polarity: bool = True,
    dtype: DTypeLike = np.float32,
) -> Array:
    """Count the events of each pixel in each time step.

    With ``steps=T`` a step is ``(t[-1] - t[0]) // T`` long, or has ``len(t) // T`` events if
    ``split_by="count"``, but at least 1; the last step takes the rest. With ``duration`` there are
    ``ceil((t[-1] - t[0]) / duration)`` steps, at least one, and an event at the very end is in the
    last. So no event is lost or counted twice, and the frames sum to the number of events. A
    recording without events gives ``steps`` empty frames, or one.

    Args:
        events: The events, sorted by time.
        size: The sensor, ``(H, W)``; or ``(channels,)``, with y = 0.
        steps: The number of time steps T.
        duration: The length of a time step, in the unit of ``events.t``. Give exactly one of
            ``steps`` and ``duration``.
        split_by: ``"time"`` for ``steps`` of equal length, ``"count"`` for steps with equally many
            events.
        start: When the first time step begins; None means at the first event. Not for
            ``split_by="count"``.
        polarity: Whether to count the two polarities separately; otherwise they are added.
        dtype: The dtype of the result; a count that it cannot hold is an error.

    Returns:
        ``[T, *size, 2]``, off and on; or ``[T, *size]`` if ``polarity`` is False.

    Raises:
        TypeError: If ``events`` are not integers, or not exactly one of ``steps`` and ``duration``
            is given.
        ValueError: If an event is outside the sensor, before ``start``, or earlier than the one
            before it, or if the frames do not fit into memory.

    Example:
        >>> import numpy as np, jaxspike.data
        >>> t, zeros = np.array([0, 10, 20, 99]), np.zeros(4, int)
        >>> events = jaxspike.data.Events(t, x=zeros, y=zeros, p=np.array([0, 1, 1, 1]))
        >>> jaxspike.data.to_frames(events, (1, 1), steps=2)[:, 0, 0]
        array([[1., 2.],
               [0., 1.]], dtype=float32)

    The steps are those of SpikingJelly 2.0.0 (``integrate_events_by_fixed_frames_number``,
    ``..._duration``), which are ``[T, 2, H, W]`` there.
    """
    size = _events.sensor("to_frames", size)
    _check.one_of("`to_frames(split_by=...)`", split_by, ("time", "count"))
    e = _events.check("to_frames", events, size)
    steps, step = _steps(e.t, steps, duration, split_by, start)
    fix = "Give fewer `steps` or a longer `duration`."
    counts = zeros("`to_frames`", (steps, *size, 2), np.int64, fix)
    np.add.at(counts.reshape(-1), np.ravel_multi_index(_position(e, step, size), counts.shape), 1)
    return _as(counts if polarity else counts.sum(-1), np.dtype(dtype))


def to_voxels(events: Events, size: tuple[int, ...], *, steps: int) -> Array:
    """Share each event between the two nearest time steps, weighted by its distance to them.

    With ``s = (T - 1) (t - t[0]) / (t[-1] - t[0])`` an event adds ``1 - (s - floor(s))`` to step
    ``floor(s)`` and the rest to the next: the frames sum to the number of events. The voxel grid of
    the paper, one signed channel, is ``voxels[..., 1] - voxels[..., 0]``.

    Args:
        events: The events, sorted by time.
        size: The sensor, ``(H, W)``; or ``(channels,)``, with y = 0.
        steps: The number of time steps T.

    Returns:
        ``[T, *size, 2]`` in float32.

    Raises:
        TypeError: If ``events`` are not integers.
        ValueError: If an event is outside the sensor or earlier than the one before it.

    Example:
        >>> import numpy as np, jaxspike.data
        >>> t, zeros = np.array([0, 25, 100]), np.zeros(3, int)
        >>> events = jaxspike.data.Events(t, x=zeros, y=zeros, p=zeros)
        >>> jaxspike.data.to_voxels(events, (1, 1), steps=3)[:, 0, 0, 0]
        array([1.5, 0.5, 1. ], dtype=float32)

    Zhu et al., Unsupervised event-based learning of optical flow, depth, and egomotion, CVPR 2019.
    """
    size = _events.sensor("to_voxels", size)
    steps = _check.integer("`to_voxels(steps=...)`", steps, low=1)
    e = _events.check("to_voxels", events, size)
    out = zeros("`to_voxels`", (steps, *size, 2), np.float64, "Give fewer `steps`.")
    if len(e.t):
        at = (steps - 1.0) * (e.t - e.t[0]) / max(int(e.t[-1] - e.t[0]), 1)
        step = np.floor(at).astype(np.int64)
        part = at - step
        np.add.at(out, _position(e, step, size), 1 - part)
        np.add.at(out, _position(e, np.minimum(step + 1, steps - 1), size), part)
    return out.astype(np.float32)


def _position(e: Events, step: IntArray, size: tuple[int, ...]) -> tuple[IntArray, ...]:
    return (step, e.y, e.x, e.p) if len(size) == 2 else (step, e.x, e.p)


def _steps(
    t: IntArray, steps: int | None, duration: int | None, split_by: str, start: int | None
) -> tuple[int, IntArray]:
    """The number of time steps, and the step of each event."""
    if (steps is None) == (duration is None):
        raise TypeError(
            f"`to_frames` must have either `steps` or `duration`, got {steps} and {duration}."
        )
    if split_by == "count" and (steps is None or start is not None):
        raise TypeError('`to_frames(split_by="count")` needs `steps`, and no `start`.')
    first = int(t[0]) if len(t) else 0
    if start is not None:
        where, far = "`to_frames(start=...)`", _events.TIME
        start = _check.integer(where, start, low=-far, high=far)
        _check.in_range(where, start, high=first if len(t) else far, of=", the first event")
        first = start
    since = np.arange(len(t)) if split_by == "count" else t - first
    span = len(t) if split_by == "count" else int(since[-1]) if len(t) else 0
    if steps is None:
        each = _check.integer("`to_frames(duration=...)`", duration, low=1)
        steps = max(-(-span // each), 1)
    else:
        steps = _check.integer("`to_frames(steps=...)`", steps, low=1)
        each = max(span // steps, 1)
    return steps, np.minimum(since // each, steps - 1)


def _as(counts: Array, dtype: np.dtype) -> Array:
    if dtype.kind not in "iuf":
        raise TypeError(f"`to_frames(dtype=...)` must be integers or floats, got {dtype}.")
    most = int(counts.max(initial=0))
    exact = np.iinfo(dtype).max if dtype.kind in "iu" else 2 ** (np.finfo(dtype).nmant + 1)
    if most > exact:
        raise ValueError(
            f"`to_frames(dtype=...)` must hold counts up to {most}, got {dtype}. Give a wider one."
        )
    return counts.astype(dtype)
