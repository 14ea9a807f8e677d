"""Sound to events: a bank of filters, and a comparator behind each."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import _check
from .events import Events

Array = np.ndarray[Any, Any]
STEP = 1000  # envelopes a second: a millisecond each


def cochlea(
    audio: ArrayLike,
    rate: int,
    *,
    channels: int = 64,
    low: float = 100.0,
    high: float | None = None,
    level: float = 0.1,
) -> Events:
    """Hear sound with ``channels`` filters, and send an event when the loudness of one changes.

    Gammatone filters of order 4, their centres equally far apart on the scale of critical bands,
    ``21.4 log10(1 + 0.00437 f)``; the envelope of each, a millisecond apart, against the loudest
    moment of the recording, to the power of 0.3 (loudness); an event of polarity 1 (0) for each
    ``level`` that it rose (fell) since the last event of the channel.

    Args:
        audio: Sound, ``[samples]``, of any scale.
        rate: Samples per second, at least 1000.
        channels: The number of filters.
        low: Centre of the first filter in Hz.
        high: Centre of the last in Hz; None is 0.45 of ``rate``.
        level: Change of the loudness, from 0 to 1, that sends an event.

    Returns:
        The events; t in microseconds, x is the filter, y is 0.

    Raises:
        TypeError: If ``audio`` is not a flat array of numbers, or ``rate`` or ``channels`` are
            not integers.
        ValueError: If ``0 < low < high < rate / 2`` or ``0 < level <= 1`` does not hold, or the
            sound is not finite.

    Example:
        >>> import jaxspike.data, numpy as np
        >>> tone = np.sin(2 * np.pi * 440 * np.arange(4000) / 8000)
        >>> events = jaxspike.data.cochlea(tone, 8000, channels=16)
        >>> int(np.bincount(events.x, 2 * events.p - 1).argmax())  # the filter at 403 Hz is loudest
        4

    The filters: Patterson et al., An efficient auditory filterbank based on the gammatone function,
    1987; Glasberg and Moore, Derivation of auditory filter shapes from notched-noise data, 1990.
    Sending on change: Liu et al., Asynchronous binaural spatial audition sensor, 2014.
    """
    sound = np.asarray(audio)
    if sound.ndim != 1 or sound.dtype.kind not in "iuf":
        raise TypeError(
            f"`cochlea(audio=...)` must be numbers [samples], got {sound.dtype} "
            f"{list(sound.shape)}."
        )
    sound = sound.astype(np.float64)
    if not np.isfinite(sound).all():
        raise ValueError("`cochlea(audio=...)` must be finite, got a NaN or an infinity.")
    rate = _check.integer("`cochlea(rate=...)`", rate, low=STEP)
    channels = _check.integer("`cochlea(channels=...)`", channels, low=1)
    high = 0.45 * rate if high is None else high
    if not 0 < low < high < rate / 2:
        raise ValueError(
            f"`cochlea(low=..., high=...)` must be 0 < low < high < {rate / 2:g}, half of the "
            f"rate, got {low} and {high}."
        )
    if not 0 < level <= 1:
        raise ValueError(f"`cochlea(level=...)` must be above 0, up to 1, got {level}.")
    sound = sound / (np.abs(sound).max(initial=0) or 1)  # a quiet recording is not a silent one
    loud = _envelopes(sound, rate, _centres(low, high, channels))
    loud = (loud / max(loud.max(initial=0), 1e-12)) ** 0.3
    return _on_change(loud, level)


def _centres(low: float, high: float, n: int) -> Array:
    bands = np.linspace(math.log10(1 + 0.00437 * low), math.log10(1 + 0.00437 * high), n)
    return (10**bands - 1) / 0.00437


def _envelopes(sound: Array, rate: int, centres: Array) -> Array:
    """``[milliseconds, channels]``: how loud each band is."""
    n = len(sound)
    if not n:
        return np.zeros((0, len(centres)))
    size = 1 << (n + rate // 10 - 1).bit_length()  # with room for what rings on
    t = np.arange(rate // 10) / rate
    width = 1.019 * 24.7 * (0.00437 * centres[:, None] + 1)
    ring = t**3 * np.exp(2 * np.pi * (1j * centres[:, None] - width) * t)
    ring /= np.abs(ring).sum(-1, keepdims=True)
    heard = np.fft.ifft(np.fft.fft(ring, size) * np.fft.fft(sound, size))[:, :n]
    at = (np.arange(-(-n * STEP // rate)) * rate) // STEP
    return np.abs(heard[:, at]).T


def _on_change(loud: Array, level: float) -> Events:
    last, sent = np.zeros(loud.shape[1]), np.zeros_like(loud, np.int64)
    for i, now in enumerate(loud):
        sent[i] = np.trunc((now - last) / level + 1e-9 * np.sign(now - last))
        last = last + sent[i] * level
    step, channel = np.nonzero(sent)
    times = np.abs(sent[step, channel])
    t, x = np.repeat(step, times) * (1_000_000 // STEP), np.repeat(channel, times)
    p = np.repeat((sent[step, channel] > 0).astype(np.int64), times)
    return Events(t, x, np.zeros_like(x), p)
