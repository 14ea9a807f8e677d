"""Events elsewhere on the sensor: flipped, shifted, rotated, scaled, sheared, cropped, jittered."""

import math

import numpy as np

from ... import _check
from .._arrays import Array
from ..events import Events, sensor
from ._events import Size, checked, generator, on_sensor, rows


def flip(events: Events, size: Size, *, axis: str = "x") -> Events:
    """Mirror the events: ``x`` becomes ``W - 1 - x``, or ``y`` becomes ``H - 1 - y``.

    Args:
        events: The events.
        size: The sensor, ``(H, W)`` or ``(channels,)``.
        axis: "x" for left and right, "y" for up and down.

    Raises:
        TypeError: If ``events`` are not integers.
        ValueError: If an event is outside the sensor, or ``axis`` is unknown.
    """
    _check.one_of("`flip(axis=...)`", axis, ("x", "y"))
    e, size = checked("flip", events, size)
    if axis == "x":
        return e._replace(x=size[-1] - 1 - e.x)
    return e._replace(y=rows(size) - 1 - e.y)


def shift(events: Events, size: Size, *, dx: int = 0, dy: int = 0) -> Events:
    """Move the events by whole pixels; those that leave the sensor are dropped.

    Args:
        events: The events.
        size: The sensor, ``(H, W)`` or ``(channels,)``.
        dx: Pixels to the right, or channels up.
        dy: Pixels down.

    Raises:
        TypeError: If ``events``, ``dx`` or ``dy`` are not integers.
        ValueError: If an event is outside the sensor.
    """
    e, size = checked("shift", events, size)
    dx, dy = _offsets("shift", dx, dy)
    return on_sensor(e._replace(x=e.x + dx, y=e.y + dy), size)


def roll(events: Events, size: Size, *, dx: int = 0, dy: int = 0) -> Events:
    """Move the events by whole pixels; those that leave the sensor enter it at the other side.

    Args:
        events: The events.
        size: The sensor, ``(H, W)`` or ``(channels,)``.
        dx: Pixels to the right, or channels up.
        dy: Pixels down.

    Raises:
        TypeError: If ``events``, ``dx`` or ``dy`` are not integers.
        ValueError: If an event is outside the sensor.
    """
    e, size = checked("roll", events, size)
    dx, dy = _offsets("roll", dx, dy)
    return e._replace(x=(e.x + dx) % size[-1], y=(e.y + dy) % rows(size))


def rotate(events: Events, size: Size, *, degrees: float) -> Events:
    """Rotate the events around the center of the sensor, to the nearest pixels.

    Events that leave the sensor are dropped.

    Args:
        events: The events.
        size: The sensor, ``(H, W)``.
        degrees: The angle, counterclockwise.

    Raises:
        TypeError: If ``events`` are not integers, or ``size`` is not that of a camera.
        ValueError: If an event is outside the sensor.
    """
    angle = math.radians(_check.number("`rotate(degrees=...)`", degrees))
    cos, sin = math.cos(angle), math.sin(angle)
    return _linear("rotate", events, size, np.array([[cos, sin], [-sin, cos]]))


def scale(events: Events, size: Size, *, factor: float) -> Events:
    """Move the events away from the center of the sensor, or toward it, to the nearest pixels.

    Events that leave the sensor are dropped. Above 1 some pixels get none, below 1 several events
    may share one.

    Args:
        events: The events.
        size: The sensor, ``(H, W)``.
        factor: The factor of the distance to the center, above zero.

    Raises:
        TypeError: If ``events`` are not integers, or ``size`` is not that of a camera.
        ValueError: If an event is outside the sensor, or ``factor`` is not above zero.
    """
    factor = _check.number("`scale(factor=...)`", factor, above=0)
    return _linear("scale", events, size, factor * np.eye(2))


def shear(events: Events, size: Size, *, degrees: float) -> Events:
    """Shift each row in proportion to its distance to the center, to the nearest pixels.

    Events that leave the sensor are dropped.

    Args:
        events: The events.
        size: The sensor, ``(H, W)``.
        degrees: The angle by which a vertical line leans, from -90 to 90; its lower end moves to
            the right.

    Raises:
        TypeError: If ``events`` are not integers, or ``size`` is not that of a camera.
        ValueError: If an event is outside the sensor, or the angle is not between -90 and 90.
    """
    degrees = _check.number("`shear(degrees=...)`", degrees, above=-90, below=90)
    return _linear("shear", events, size, np.array([[1, math.tan(math.radians(degrees))], [0, 1]]))


def crop(events: Events, size: Size, *, top: int, left: int, to: tuple[int, int]) -> Events:
    """The events in a part of the sensor, counted from its upper left corner.

    Args:
        events: The events.
        size: The sensor, ``(H, W)``.
        top: The first row of the part.
        left: The first column of the part.
        to: The size of the part, ``(H, W)``; it must be on the sensor.

    Raises:
        TypeError: If ``events`` or the numbers are not integers.
        ValueError: If an event or the part is outside the sensor.
    """
    e, size = checked("crop", events, sensor("crop", size, axes=(2,)))
    h, w = (
        _check.integer("`crop(to=...)`", n, low=1, high=m) for n, m in zip(to, size, strict=True)
    )
    top = _check.integer("`crop(top=...)`", top, low=0, high=size[0] - h)
    left = _check.integer("`crop(left=...)`", left, low=0, high=size[1] - w)
    return on_sensor(e._replace(x=e.x - left, y=e.y - top), (h, w))


def jitter_space(
    events: Events, size: Size, *, std: float = 1.0, rng: np.random.Generator
) -> Events:
    """Move each event on its own by a normal number of pixels, rounded; drop those that leave.

    Args:
        events: The events.
        size: The sensor, ``(H, W)``, or ``(channels,)``, along which events then move.
        std: Standard deviation in pixels, above zero.
        rng: Source of random numbers.

    Raises:
        TypeError: If ``events`` are not integers, or ``rng`` is not a generator.
        ValueError: If an event is outside the sensor, or ``std`` is not above zero.
    """
    e, size = checked("jitter_space", events, size)
    std = _check.number("`jitter_space(std=...)`", std, above=0)
    rng = generator("jitter_space", rng)
    x, y = np.rint(rng.normal(0, std, (2, len(e.t)))).astype(np.int64)
    return on_sensor(e._replace(x=e.x + x, y=e.y + y if len(size) == 2 else e.y), size)


def nda(
    events: Events,
    size: Size,
    *,
    pixels: int = 5,
    degrees: float = 30.0,
    rng: np.random.Generator,
) -> Events:
    """Roll, rotate or shear, one at random: the policy of neuromorphic data augmentation.

    A roll moves by up to ``pixels`` along each axis, a rotation and a shear by up to ``degrees``,
    all uniform. The defaults are those for CIFAR10-DVS at 48x48; for N-Caltech101 they are 3 and
    15. Where left and right do not matter, `flip` half of the recordings as well.

    Args:
        events: The events.
        size: The sensor, ``(H, W)``.
        pixels: The most pixels of a roll.
        degrees: The most degrees of a rotation or shear, less than 90.
        rng: Source of random numbers.

    Raises:
        TypeError: If ``events`` are not integers, or ``rng`` is not a generator.
        ValueError: If an event is outside the sensor, or a number out of range.

    Source: Li, Kim, Park, Geller, Panda, "Neuromorphic data augmentation for training spiking
    neural networks", ECCV 2022, and its code.
    """
    pixels = _check.integer("`nda(pixels=...)`", pixels, low=0)
    degrees = _check.number("`nda(degrees=...)`", degrees, below=90)
    rng = generator("nda", rng)
    choice, angle = rng.integers(3), rng.uniform(-degrees, degrees)
    dx, dy = rng.integers(-pixels, pixels + 1, 2)
    if choice == 0:
        return roll(events, size, dx=int(dx), dy=int(dy))
    return (rotate if choice == 1 else shear)(events, size, degrees=float(angle))


def _offsets(call: str, dx: int, dy: int) -> tuple[int, int]:
    far = 2**31
    return (
        _check.integer(f"`{call}(dx=...)`", dx, low=-far, high=far),
        _check.integer(f"`{call}(dy=...)`", dy, low=-far, high=far),
    )


def _linear(call: str, events: Events, size: Size, matrix: Array) -> Events:
    """Events moved by a matrix of ``(x, y)`` around the center of the sensor."""
    e, size = checked(call, events, sensor(call, size, axes=(2,)))
    center = (np.array([size[1], size[0]])[:, None] - 1) / 2
    moved = matrix @ (np.stack([e.x, e.y]) - center) + center
    # within rounding of the middle between two pixels, whichever is farther right or down
    x, y = np.floor(moved + (0.5 + 1e-9)).astype(np.int64)
    return on_sensor(e._replace(x=x, y=y), size)
