"""Time surfaces: how recently each pixel fired."""

import itertools

import numpy as np

from .. import _check
from . import events as _events
from ._arrays import Array, zeros
from .events import Events


def to_time_surfaces(events: Events, size: tuple[int, ...], *, duration: int, tau: float) -> Array:
    """The decayed trace of the last event of each pixel and polarity, at the end of each window.

    ``exp(-(end - t) / tau)`` with the time ``t`` of the last event so far, 0 before the first. The
    windows are those of `to_frames` with ``duration``, the last of full length.

    Args:
        events: The events, sorted by time.
        size: The sensor, ``(H, W)``; or ``(channels,)``, with y = 0.
        duration: The length of a window, in the unit of ``events.t``.
        tau: The time constant, in the same unit, above zero.

    Returns:
        ``[T, *size, 2]`` in float32, off and on.

    Raises:
        TypeError: If ``events`` or ``duration`` are not integers.
        ValueError: If an event is outside the sensor or earlier than the one before it, or a number
            is out of range.

    Example:
        >>> import numpy as np, jaxspike.data
        >>> t, zeros = np.array([0, 15]), np.zeros(2, int)
        >>> events = jaxspike.data.Events(t, x=zeros, y=zeros, p=zeros)
        >>> surfaces = jaxspike.data.to_time_surfaces(events, (1, 1), duration=10, tau=10.0)
        >>> surfaces[:, 0, 0, 0].round(3)
        array([0.368, 0.607], dtype=float32)

    Source: Lagorce et al., "HOTS: a hierarchy of event-based time-surfaces for pattern
    recognition", 2017; tonic ``ToTimesurface``, over the whole sensor as here.
    """
    size = _events.sensor("to_time_surfaces", size)
    e = _events.check("to_time_surfaces", events, size)
    duration = _check.integer("`to_time_surfaces(duration=...)`", duration, low=1)
    tau = _check.number("`to_time_surfaces(tau=...)`", tau, above=0)
    since = e.t - e.t[0] if len(e.t) else e.t
    steps = max(-(-int(since[-1]) // duration), 1) if len(e.t) else 1
    surfaces = zeros("`to_time_surfaces`", (steps, *size, 2), np.float32, "Give longer windows.")
    last = np.full((*size, 2), -np.inf)
    step = np.minimum(since // duration, steps - 1)
    edges = np.searchsorted(step, np.arange(steps + 1))
    for k, (i, j) in enumerate(itertools.pairwise(edges)):
        pixel = (e.y[i:j], e.x[i:j], e.p[i:j]) if len(size) == 2 else (e.x[i:j], e.p[i:j])
        last[pixel] = since[i:j]  # of several, the last counts
        surfaces[k] = np.exp((last - (k + 1) * duration) / tau)
    return surfaces
