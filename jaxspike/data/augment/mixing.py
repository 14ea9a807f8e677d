"""Two recordings as one."""

import numpy as np

from ... import _check
from .._arrays import Array
from ..events import Events
from ._events import Size, checked, generator, in_order, rows, select

_GRID = 24  # points along each axis, at which the volume of a region is measured


def mix(first: Events, second: Events) -> Events:
    """All events of both recordings, the second from the start of the first.

    Args:
        first: The events of one recording.
        second: The events of another.

    Raises:
        TypeError: If the events are not integers.
    """
    a, b = checked("mix", first)[0], checked("mix", second)[0]
    return _together("mix", a, _from_start_of(a, b))


def event_mix(
    first: Events, second: Events, size: Size, *, beta: float = 1.0, rng: np.random.Generator
) -> tuple[Events, float]:
    """The first recording outside a random region of space and time, the second inside: EventMix.

    The region is where a mixture of 2 to 4 Gaussians in ``(t, y, x)``, at random places, of random
    widths and weights, is largest; it has a share of the volume that is drawn from
    ``Beta(beta, beta)``. The second recording starts with the first.

    Args:
        first: The events of one recording.
        second: The events of another.
        size: The sensor, ``(H, W)`` or ``(channels,)``.
        beta: Both parameters of the distribution of the share, above zero.
        rng: Source of random numbers.

    Returns:
        The events, and the weight of the first label; that of the second is one minus it. With
        ``a`` and ``b`` the shares of events in the region, of the first and the second recording,
        it is ``(1 - a) / (1 - a + b)``.

    Raises:
        TypeError: If the events are not integers, or ``rng`` is not a generator.
        ValueError: If an event is outside the sensor, a recording has none, or ``beta`` is not
            above zero.

    Source: Shen, Zhao, Zeng, "EventMix: an efficient data augmentation strategy for event-based
    learning", Information Sciences 2023; BrainCog ``EventMix``, on frames.
    """
    a, size = checked("event_mix", first, size)
    b, _ = checked("event_mix", second, size)
    for name, e in (("first", a), ("second", b)):
        if not len(e.t):
            raise ValueError(f"`event_mix({name}=...)` must be at least one event, got none.")
    beta = _check.number("`event_mix(beta=...)`", beta, above=0)
    rng = generator("event_mix", rng)
    b = _from_start_of(a, b)
    share = rng.beta(beta, beta)
    centers, widths, weights = _mixture(rng)
    extent = np.array([max(int(a.t[-1] - a.t[0]), 1), rows(size), size[-1]])

    def density(points: Array) -> Array:  # [n, 3], in units of the extent
        z = (points[:, None] - centers) / widths
        return (weights * np.exp(-0.5 * (z**2).sum(-1))).sum(-1)

    line = (np.arange(_GRID) + 0.5) / _GRID
    volume = np.stack(np.meshgrid(line, line, line, indexing="ij"), -1).reshape(-1, 3)
    least = np.quantile(density(volume), 1 - share)

    def inside(e: Events) -> Array:
        points = np.stack([e.t - a.t[0], e.y + 0.5, e.x + 0.5], -1) / extent
        return (density(points) >= least) & (points[:, 0] <= 1)

    in_a, in_b = inside(a), inside(b)
    kept, taken = 1 - in_a.mean(), in_b.mean()
    weight = float(kept / (kept + taken)) if kept + taken else 0.5
    return _together("event_mix", select(a, ~in_a), select(b, in_b)), weight


def _mixture(rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Centers and widths, ``[n, 3]`` in units of the extent, and weights of 2 to 4 Gaussians."""
    n = int(rng.integers(2, 5))
    weights, centers = rng.random(n), rng.random((n, 3))
    return centers, 0.5 * np.maximum(rng.random((n, 3)), 0.1), weights


def _from_start_of(a: Events, b: Events) -> Events:
    return b._replace(t=b.t - b.t[0] + a.t[0]) if len(a.t) and len(b.t) else b


def _together(call: str, a: Events, b: Events) -> Events:
    return in_order(call, Events(*(np.concatenate(pair) for pair in zip(a, b, strict=True))))
