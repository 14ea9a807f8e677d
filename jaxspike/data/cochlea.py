"""Sound to events: a bank of filters, each followed by a comparator."""

import math

import numpy as np
from numpy.typing import ArrayLike

from .. import _check
from ._arrays import Array
from .events import Events

STEP = 1000  # samples of the envelope per second


def cochlea(
    audio: ArrayLike,
    rate: int,
    *,
    channels: int = 64,
    low: float = 100.0,
    high: float | None = None,
    level: float = 0.1,
) -> Events:
    """Filter sound into ``channels`` bands and emit an event whenever a band's loudness changes.

    Gammatone filters of order 4, with centers equally spaced on the critical-band scale,
    ``21.4 log10(1 + 0.00437 f)``. The envelope of each, sampled every millisecond, is divided by
    the maximum of the recording and raised to the power of 0.3 (loudness). Each rise (fall) by
    ``level`` since the channel's last event, or since the start, emits an event of polarity 1 (0).

    A recording is taken for a piece of a longer one: its first 100 ms are mirrored in front of it,
    so that background noise does not set off all channels at the start, as it would after silence.

    Args:
        audio: Sound, ``[samples]``, of any scale.
        rate: Samples per second, at least 1000.
        channels: The number of filters.
        low: Center of the first filter in Hz.
        high: Center of the last filter in Hz; None means 0.45 of ``rate``.
        level: Change of loudness, from 0 to 1, that emits an event.

    Returns:
        The events; t in microseconds, x is the filter, y is 0.

    Raises:
        TypeError: If ``audio`` does not hold real numbers, or ``rate`` or ``channels`` are not
            integers.
        ValueError: If ``0 < low < high < rate / 2`` or ``0 < level <= 1`` does not hold, or the
            sound is not flat or not finite.

    Example:
        >>> import jaxspike.data, numpy as np
        >>> tone = np.sin(2 * np.pi * 440 * np.arange(4000) / 8000)
        >>> sound = np.concatenate([np.zeros(800), tone])
        >>> events = jaxspike.data.cochlea(sound, 8000, channels=16)
        >>> int(np.bincount(events.x, 2 * events.p - 1).argmax())  # the filter at 403 Hz is loudest
        4

    The filters: Patterson et al., An efficient auditory filterbank based on the gammatone function,
    1987; Glasberg and Moore, Derivation of auditory filter shapes from notched-noise data, 1990.
    Send on change: Liu et al., Asynchronous binaural spatial audition sensor, 2014.
    """
    sound = _check.array("`cochlea(audio=...)`", audio, "samples", kinds="iuf").astype(np.float64)
    if not np.isfinite(sound).all():
        raise ValueError("`cochlea(audio=...)` must be finite, got a NaN or an infinity.")
    rate = _check.integer("`cochlea(rate=...)`", rate, low=STEP)
    channels = _check.integer("`cochlea(channels=...)`", channels, low=1)
    high = 0.45 * rate if high is None else high
    half, of = rate / 2, ", half of the rate"
    _check.in_range("`cochlea(low=...)`", low, above=0, below=half, of=of)
    _check.in_range("`cochlea(high=...)`", high, above=low, below=half, of=of)
    _check.in_range("`cochlea(level=...)`", level, above=0, high=1)
    sound = sound / (np.abs(sound).max(initial=0) or 1)  # the scale does not matter
    loud = _envelopes(sound, rate, _centers(low, high, channels))
    loud = (loud / max(loud.max(initial=0), 1e-12)) ** 0.3
    return _on_change(loud, level)


def _centers(low: float, high: float, n: int) -> Array:
    bands = np.linspace(math.log10(1 + 0.00437 * low), math.log10(1 + 0.00437 * high), n)
    return (10**bands - 1) / 0.00437


def _envelopes(sound: Array, rate: int, centers: Array) -> Array:
    """``[milliseconds, channels]``: the envelope of each band."""
    n = len(sound)
    if not n:
        return np.zeros((0, len(centers)))
    memory = rate // 10  # of the filters, in samples
    sound = np.pad(sound, (memory, 0), "reflect", reflect_type="odd")
    size = 1 << (n + 2 * memory - 1).bit_length()  # with room for the tails of the filters
    t = np.arange(memory) / rate
    width = 1.019 * 24.7 * (0.00437 * centers[:, None] + 1)
    ring = t**3 * np.exp(2 * np.pi * (1j * centers[:, None] - width) * t)
    ring /= np.abs(ring).sum(-1, keepdims=True)
    bands = np.fft.ifft(np.fft.fft(ring, size) * np.fft.fft(sound, size))[:, memory : memory + n]
    at = (np.arange(-(-n * STEP // rate)) * rate) // STEP
    return np.abs(bands[:, at]).T


def _on_change(loud: Array, level: float) -> Events:
    last, sent = loud[:1].sum(0), np.zeros_like(loud, np.int64)  # of no row: zero
    for i, now in enumerate(loud):
        sent[i] = np.trunc((now - last) / level + 1e-9 * np.sign(now - last))
        last = last + sent[i] * level
    step, channel = np.nonzero(sent)
    times = np.abs(sent[step, channel])
    t, x = np.repeat(step, times) * (1_000_000 // STEP), np.repeat(channel, times)
    p = np.repeat((sent[step, channel] > 0).astype(np.int64), times)
    return Events(t, x, np.zeros_like(x), p)
