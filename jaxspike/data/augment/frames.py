"""The augmentations of frames, in JAX: inside `jax.jit`, with random keys.

Each takes the frames of one recording, ``[T, H, W, 2]``, off and on, as `jaxspike.data.to_frames`
returns them. Angles, offsets, shares and deviations may be traced. For a batch
``[T, N, H, W, 2]``, map over axis 1 with a key for each recording:

>>> import jax, jax.numpy as jnp, jaxspike as js
>>> keys = jax.random.split(jax.random.key(0), 4)
>>> augment = jax.jit(jax.vmap(js.data.augment.frames.nda, (1, 0), 1))
>>> augment(jnp.ones((5, 4, 8, 8, 2)), keys).shape
(5, 4, 8, 8, 2)
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from ... import _check
from ..._types import Array

__all__ = (
    *("crop", "drop", "drop_area", "drop_time", "event_drop", "event_mix", "flip"),
    *("flip_polarity", "hot_pixels", "jitter_space", "jitter_time", "mix", "nda", "reverse_time"),
    *("roll", "rotate", "scale", "shear", "shift", "skew_time"),
)


def __dir__() -> tuple[str, ...]:
    return __all__


def flip(frames: Array, *, axis: str = "x") -> Array:
    """Mirror the frames, left and right ("x") or up and down ("y")."""
    _check.one_of("`frames.flip(axis=...)`", axis, ("x", "y"))
    return jnp.flip(_checked("flip", frames), 2 if axis == "x" else 1)


def shift(frames: Array, *, dx: ArrayLike = 0, dy: ArrayLike = 0) -> Array:
    """Move the frames by whole pixels, to the right and down; what leaves them is lost."""
    frames = _checked("shift", frames)
    _, h, w, _ = frames.shape
    y, x = jnp.arange(h)[:, None] - dy, jnp.arange(w) - dx
    return _sample(frames, *jnp.broadcast_arrays(y, x))


def roll(frames: Array, *, dx: ArrayLike = 0, dy: ArrayLike = 0) -> Array:
    """Move the frames by whole pixels; what leaves them enters at the other side."""
    return jnp.roll(jnp.roll(_checked("roll", frames), dy, 1), dx, 2)


def rotate(frames: Array, *, degrees: ArrayLike) -> Array:
    """Rotate the frames counterclockwise around their center: each pixel takes the nearest."""
    angle = jnp.deg2rad(jnp.asarray(degrees, jnp.float32))
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return _linear(_checked("rotate", frames), cos, -sin, sin, cos)


def scale(frames: Array, *, factor: ArrayLike) -> Array:
    """Enlarge the frames from their center, or shrink them: each pixel takes the nearest."""
    _check.in_range("`frames.scale(factor=...)`", factor, above=0)
    inverse = 1 / jnp.asarray(factor, jnp.float32)
    zero = jnp.zeros_like(inverse)
    return _linear(_checked("scale", frames), inverse, zero, zero, inverse)


def shear(frames: Array, *, degrees: ArrayLike) -> Array:
    """Shift each row in proportion to its distance to the center: each pixel takes the nearest."""
    _check.in_range("`frames.shear(degrees=...)`", degrees, above=-90, below=90)
    slope = jnp.tan(jnp.deg2rad(jnp.asarray(degrees, jnp.float32)))
    one, zero = jnp.ones_like(slope), jnp.zeros_like(slope)
    return _linear(_checked("shear", frames), one, -slope, zero, one)


def crop(frames: Array, *, top: ArrayLike, left: ArrayLike, to: tuple[int, int]) -> Array:
    """A part of the size ``to``, an ``(H, W)``; traced numbers are moved until it is inside."""
    frames = _checked("crop", frames)
    t, h, w, c = frames.shape
    h, w = (
        _check.integer("`crop(to=...)`", n, low=1, high=m) for n, m in zip(to, (h, w), strict=True)
    )
    return jax.lax.dynamic_slice(frames, (0, top, left, 0), (t, h, w, c))


def reverse_time(frames: Array, *, flip_polarity: bool = True) -> Array:
    """Play the frames backward and, as what became brighter becomes darker, swap off and on."""
    frames = _checked("reverse_time", frames)[::-1]
    return frames[..., ::-1] if flip_polarity else frames


def skew_time(frames: Array, *, factor: ArrayLike, offset: ArrayLike = 0) -> Array:
    """Play the frames at another speed, 2 is half of it, and later by ``offset`` frames.

    Each frame takes the nearest, as a pixel does in `scale`. Counts per frame are kept, so that a
    slower recording has more events; on events it has as many as before.
    """
    _check.in_range("`frames.skew_time(factor=...)`", factor, above=0)
    frames = _checked("skew_time", frames)
    centers = jnp.arange(len(frames), dtype=jnp.float32) + 0.5
    nearest = jnp.floor((centers - offset) / jnp.asarray(factor, jnp.float32) + 1e-4)
    inside = (nearest >= 0) & (nearest < len(frames))
    found = frames[jnp.clip(nearest, 0, len(frames) - 1).astype(jnp.int32)]
    return jnp.where(inside[:, None, None, None], found, jnp.zeros_like(found))


def jitter_time(frames: Array, key: Array, *, std: ArrayLike) -> Array:
    """Move each event on its own by a normal time of ``std`` frames; the frames must be counts.

    An event may be anywhere in its frame; those that leave are dropped. Takes as many rounds as the
    largest count.
    """
    _check.key("`frames.jitter_time(key=...)`", key)
    _check.in_range("`frames.jitter_time(std=...)`", std, above=0)

    def draw(key):
        inside, by = jax.random.split(key)
        start = jax.random.uniform(inside, frames.shape)
        return jnp.floor(start + std * jax.random.normal(by, frames.shape)), 0, 0

    frames = _checked("jitter_time", frames)
    return _move_events(frames, key, draw)


def jitter_space(frames: Array, key: Array, *, std: ArrayLike = 1.0) -> Array:
    """Move each event on its own by a normal number of pixels, rounded; the frames must be counts.

    Those that leave are dropped. Takes as many rounds as the largest count.
    """
    _check.key("`frames.jitter_space(key=...)`", key)
    _check.in_range("`frames.jitter_space(std=...)`", std, above=0)

    def draw(key):
        return 0, *jnp.rint(std * jax.random.normal(key, (2, *frames.shape)))

    frames = _checked("jitter_space", frames)
    return _move_events(frames, key, draw)


def flip_polarity(frames: Array) -> Array:
    """Swap off and on."""
    return _checked("flip_polarity", frames)[..., ::-1]


def drop(frames: Array, key: Array, *, share: ArrayLike) -> Array:
    """Drop each event with the probability ``share``; the frames must be counts of events."""
    _check.key("`frames.drop(key=...)`", key)
    _check.in_range("`frames.drop(share=...)`", share, low=0, high=1)
    frames = _checked("drop", frames)
    n = frames.astype(jnp.float32)
    keep = 1 - jnp.asarray(share, jnp.float32)
    kept = jax.random.binomial(key, n, jnp.broadcast_to(keep, n.shape), dtype=jnp.float32)
    return kept.astype(frames.dtype)


def drop_time(frames: Array, key: Array, *, share: ArrayLike) -> Array:
    """Set a share of the frames to 0, one after the other, at a random place; rounded down."""
    _check.key("`frames.drop_time(key=...)`", key)
    _check.in_range("`frames.drop_time(share=...)`", share, low=0, high=1)
    frames = _checked("drop_time", frames)
    inside = _interval(key, len(frames), share)
    return jnp.where(inside[:, None, None, None], jnp.zeros_like(frames), frames)


def drop_area(frames: Array, key: Array, *, share: ArrayLike) -> Array:
    """Set a rectangle to 0, a share of the height and width, at a random place; rounded down."""
    _check.key("`frames.drop_area(key=...)`", key)
    _check.in_range("`frames.drop_area(share=...)`", share, low=0, high=1)
    frames = _checked("drop_area", frames)
    rows, columns = jax.random.split(key)
    inside = _interval(rows, frames.shape[1], share)[:, None]
    inside = inside & _interval(columns, frames.shape[2], share)
    return jnp.where(inside[:, :, None], jnp.zeros_like(frames), frames)


def hot_pixels(frames: Array, key: Array, *, pixels: int, rate: ArrayLike) -> Array:
    """Add events of random pixels, each of one polarity, in a share ``rate`` of their frames."""
    _check.key("`frames.hot_pixels(key=...)`", key)
    frames = _checked("hot_pixels", frames)
    t, h, w, c = frames.shape
    pixels = _check.integer("`frames.hot_pixels(pixels=...)`", pixels, low=0, high=h * w)
    _check.in_range("`frames.hot_pixels(rate=...)`", rate, low=0, high=1)
    where, which, when = jax.random.split(key, 3)
    place = jax.random.choice(where, h * w, (pixels,), replace=False)
    channel = jax.random.randint(which, (pixels,), 0, c)
    fires = jax.random.uniform(when, (t, pixels)) < rate
    flat = frames.reshape(t, h * w, c).at[:, place, channel].add(fires.astype(frames.dtype))
    return flat.reshape(frames.shape)


def mix(first: Array, second: Array) -> Array:
    """All events of both: the sum of the frames."""
    first, second = _pair("mix", first, second)
    return first + second


def event_mix(first: Array, second: Array, key: Array, *, beta: float = 1.0) -> tuple[Array, Array]:
    """The first recording outside a random region of space and time, the second inside: EventMix.

    As `jaxspike.data.augment.event_mix`; the volume of the region is exact to one value.

    Returns:
        The frames, and the weight of the first label; that of the second is one minus it.
    """
    _check.key("`frames.event_mix(key=...)`", key)
    first, second = _pair("event_mix", first, second)
    keys = jax.random.split(key, 5)
    n = jax.random.randint(keys[0], (), 2, 5)
    weights = jnp.where(jnp.arange(4) < n, jax.random.uniform(keys[1], (4,)), 0)
    centers = jax.random.uniform(keys[2], (4, 3))
    widths = 0.5 * jnp.maximum(jax.random.uniform(keys[3], (4, 3)), 0.1)
    share = jax.random.beta(keys[4], beta, beta)
    lines = [(jnp.arange(m, dtype=jnp.float32) + 0.5) / m for m in first.shape[:3]]
    exponents = [
        -0.5 * ((line - centers[:, i, None]) / widths[:, i, None]) ** 2
        for i, line in enumerate(lines)
    ]
    density = jnp.einsum("n,nt,ny,nx->tyx", weights, *map(jnp.exp, exponents))
    inside = (density >= jnp.quantile(density, 1 - share))[..., None]
    a, b = (x.astype(jnp.float32) for x in (first, second))
    kept = jnp.where(inside, 0, a).sum() / jnp.maximum(a.sum(), 1)
    taken = jnp.where(inside, b, 0).sum() / jnp.maximum(b.sum(), 1)
    weight = jnp.where(kept + taken > 0, kept / jnp.maximum(kept + taken, 1e-12), 0.5)
    return jnp.where(inside, second, first), weight


def event_drop(frames: Array, key: Array) -> Array:
    """Drop nothing, by time, by area or at random, as `jaxspike.data.augment.event_drop`."""
    _check.key("`frames.event_drop(key=...)`", key)
    frames = _checked("event_drop", frames)
    choice, size, how = jax.random.split(key, 3)
    tenths = jax.random.randint(size, (), 1, 10)
    share = tenths.astype(jnp.float32) / 10
    small = ((tenths - 1) % 5 + 1).astype(jnp.float32) / 20
    ways = (
        lambda: frames,
        lambda: drop_time(frames, how, share=share),
        lambda: drop_area(frames, how, share=small),
        lambda: drop(frames, how, share=share),
    )
    return jax.lax.switch(jax.random.randint(choice, (), 0, 4), ways)


def nda(frames: Array, key: Array, *, pixels: int = 5, degrees: float = 30.0) -> Array:
    """Roll, rotate or shear, one at random, as `jaxspike.data.augment.nda`."""
    _check.key("`frames.nda(key=...)`", key)
    frames = _checked("nda", frames)
    pixels = _check.integer("`frames.nda(pixels=...)`", pixels, low=0)
    degrees = _check.number("`frames.nda(degrees=...)`", degrees, below=90)
    choice, where, how = jax.random.split(key, 3)
    dx, dy = jax.random.randint(where, (2,), -pixels, pixels + 1)
    angle = jax.random.uniform(how, (), minval=-degrees, maxval=degrees)
    ways = (
        lambda: roll(frames, dx=dx, dy=dy),
        lambda: rotate(frames, degrees=angle),
        lambda: shear(frames, degrees=angle),
    )
    return jax.lax.switch(jax.random.randint(choice, (), 0, 3), ways)


def _checked(call: str, frames: Array) -> Array:
    frames = jnp.asarray(frames)
    _check.axes(f"`frames.{call}(frames=...)`", frames, "T", "H", "W", 2, fix="Map over a batch.")
    return frames


def _pair(call: str, first: Array, second: Array) -> tuple[Array, Array]:
    first, second = _checked(call, first), jnp.asarray(second)
    _check.axes(f"`frames.{call}(second=...)`", second, *first.shape)
    return first, second.astype(first.dtype)


def _interval(key: Array, n: int, share: ArrayLike) -> Array:
    """Which of n places are in an interval of a share of them, at a random place."""
    # rounded down, but not what is below a whole number by rounding
    long = jnp.floor(jnp.asarray(share, jnp.float32) * n + 1e-4).astype(jnp.int32)
    start = jax.random.randint(key, (), 0, n - long + 1)
    return (jnp.arange(n) >= start) & (jnp.arange(n) < start + long)


def _move_events(frames: Array, key: Array, draw: Callable[[Array], Sequence[ArrayLike]]) -> Array:
    """Counts after each event moved by its own ``(t, y, x)``: ``draw`` gives one for each pixel."""
    *places, channel = jnp.indices(frames.shape, jnp.int32, sparse=True)
    counts = frames.astype(jnp.int32)

    def move(i, moved):
        steps = (jnp.asarray(n).astype(jnp.int32) for n in draw(jax.random.fold_in(key, i)))
        there, to = counts > i, []
        for place, n, size in zip(places, steps, frames.shape, strict=False):
            there = there & (place + n >= 0) & (place + n < size)
            to.append(jnp.clip(place + n, 0, size - 1))
        return moved.at[(*to, channel)].add(there.astype(jnp.int32))

    moved = jax.lax.fori_loop(0, counts.max(initial=0), move, jnp.zeros_like(counts))
    return moved.astype(frames.dtype)


def _linear(frames: Array, a: Array, b: Array, c: Array, d: Array) -> Array:
    """Each pixel takes the nearest to ``(a x + b y, c x + d y)``, measured from the center."""
    _, h, w, _ = frames.shape
    y = jnp.arange(h, dtype=jnp.float32)[:, None] - (h - 1) / 2
    x = jnp.arange(w, dtype=jnp.float32) - (w - 1) / 2
    nearest = [
        jnp.floor(value + (n - 1) / 2 + (0.5 + 1e-4)).astype(jnp.int32)
        for value, n in ((c * x + d * y, h), (a * x + b * y, w))
    ]
    return _sample(frames, *nearest)


def _sample(frames: Array, y: Array, x: Array) -> Array:
    """The frames at ``(y, x)``, ``[H, W]`` each; 0 outside."""
    _, h, w, _ = frames.shape
    inside = ((y >= 0) & (y < h) & (x >= 0) & (x < w))[..., None]
    found = frames[:, jnp.clip(y, 0, h - 1), jnp.clip(x, 0, w - 1)]
    return jnp.where(inside, found, jnp.zeros_like(found))
