"""Frames of an event camera, as an image and as an animation."""

import math
import os
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._check import axes as check_axes, in_range, integer, package
from ._axes import Axes, array, axes

OFF, ON = np.array([217, 72, 15]), np.array([25, 113, 194])


def event_frames(
    frames: ArrayLike,
    *,
    columns: int | None = None,
    vmax: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Frames of events side by side: off events are red, on events blue, and no events white.

    Args:
        frames: Events per pixel, ``[T, H, W, 2]``; off is channel 0, on is channel 1.
        columns: Maximum number of frames per row; None makes the image about twice as wide as high.
        vmax: The number of events that gets the full color; None for the 99th percentile of
            the pixels with events.
        ax: Where to draw; None for a new figure.

    Raises:
        ValueError: If ``frames`` has other axes or negative numbers, or an argument is out of
            range.

    Example:
        >>> import jax, jaxspike as js
        >>> frames = jax.random.poisson(jax.random.key(0), 0.3, (8, 34, 34, 2))
        >>> ax = js.plot.event_frames(frames, columns=4)
    """
    images = _images("event_frames", frames, vmax)
    steps, height, width = images.shape[:3]
    if columns is None:
        columns = min(steps, max(1, round(math.sqrt(2 * steps * height / width))))
    columns = min(steps, integer("`event_frames(columns=...)`", columns, low=1))
    rows = -(-steps // columns)
    gap = max(1, round(0.03 * width))
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    ax = axes(ax, figsize=(8, max(1.0, 8 * sheet.shape[0] / sheet.shape[1])))
    rectangle = package("`jaxspike.plot`", "matplotlib.patches", "plot").Rectangle
    for t, image in enumerate(images):
        y, x = (t // columns) * (height + gap), (t % columns) * (width + gap)
        sheet[y : y + height, x : x + width] = image
        frame = {"fill": False, "edgecolor": "#b8c4ce", "linewidth": 0.8}
        ax.add_patch(rectangle((x - 0.5, y - 0.5), width, height, **frame))
        ax.annotate(
            f"{t}",
            (x, y),
            (3, -3),
            textcoords="offset points",
            va="top",
            fontsize=8,
            color="#52606d",
        )
    ax.imshow(sheet, interpolation="nearest", zorder=0)
    ax.set(xlim=(-1, sheet.shape[1]), ylim=(sheet.shape[0], -1))
    ax.set_axis_off()
    return ax


def event_animation(
    frames: ArrayLike,
    path: str | os.PathLike[str],
    *,
    fps: float = 10.0,
    scale: int = 4,
    vmax: float | None = None,
) -> Path:
    """Write frames of events as an animated GIF, in the colors of `event_frames`.

    Args:
        frames: Events per pixel, ``[T, H, W, 2]``; off is channel 0, on is channel 1.
        path: The file, ending in ``.gif``.
        fps: Frames per second, from 0.01 to 50; GIF rounds the duration of a frame to a
            hundredth of a second. Consecutive equal frames are merged into one of the same length.
        scale: Size of a pixel of the frames in pixels of the file.
        vmax: The number of events that gets the full color; None for the 99th percentile of
            the pixels with events.

    Returns:
        The path.

    Raises:
        ValueError: If ``frames`` has other axes or negative numbers, or an argument is out of
            range.

    Example:
        >>> import jax, jaxspike as js, pathlib, tempfile
        >>> frames = jax.random.poisson(jax.random.key(0), 0.3, (8, 34, 34, 2))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = js.plot.event_animation(frames, pathlib.Path(folder) / "events.gif")
    """
    path = Path(path)
    if path.suffix.lower() != ".gif":
        raise ValueError(f"`event_animation(path=...)` must end in .gif, got {path.name!r}.")
    in_range("`event_animation(fps=...)`", fps, low=0.01, high=50)
    scale = integer("`event_animation(scale=...)`", scale, low=1)
    images = _images("event_animation", frames, vmax)
    image = package("`jaxspike.plot`", "PIL.Image", "plot")
    large = images.repeat(scale, axis=1).repeat(scale, axis=2)
    first, *rest = [image.fromarray(pixels) for pixels in large]
    first.save(path, save_all=True, append_images=rest, duration=10 * round(100 / fps), loop=0)
    return path


def _images(name: str, frames: ArrayLike, vmax: float | None) -> NDArray[np.uint8]:
    """Colors ``[T, H, W, 3]`` of events ``[T, H, W, 2]``."""
    a = array(f"`{name}(frames=...)`", frames, 4, layout="[T, H, W, 2]").astype(np.float64)
    check_axes(f"`{name}(frames=...)`", a, "T", "H", "W", 2)
    in_range(f"`{name}(frames=...)`", a.min(), low=0)
    in_range(f"`{name}(vmax=...)`", vmax, above=0)
    if vmax is None:
        vmax = float(np.percentile(a[a > 0], 99)) if a.any() else 1.0
    share = np.minimum(a / vmax, 1.0)
    ink = share[..., :1] * (255 - OFF) + share[..., 1:] * (255 - ON)
    return np.round(255 - np.minimum(ink, 255)).astype(np.uint8)
