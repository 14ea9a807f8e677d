"""NIR's containers for recorded signals to and from arrays ``[T, N, *]``."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from .. import _check
from .._state import check_shape
from .._types import Array, Shape
from .layout import first


def to_data(xs: Any, dt: float, *, events: bool = False, layout: str = "channels_last") -> Any:
    """A sequence as one of NIR's containers, for ``nir.NIRNodeData`` and ``nir.write_data``.

    The containers count neurons from 0 on: those of images in NIR's order, channels first.

    Args:
        xs: Spikes or values, ``[T, N, *]``.
        dt: Length of a time step in seconds.
        events: Whether to make a list of what is not zero, each in the middle of its step.
        layout: Where the channels of ``xs`` are, "channels_last" or "channels_first".

    Returns:
        ``nir.TimeGriddedData``, its data boolean if they are all 0 or 1; of events
        ``nir.EventData`` if they are all 0 or 1, else ``nir.ValuedEventData``.

    Raises:
        ValueError: If ``xs`` has no time or batch axis, or ``dt`` is not above 0.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js, jaxspike.nir
        >>> data = js.nir.to_data(jnp.eye(3)[:, None], dt=1e-3, events=True)
        >>> data.idx
        array([[0, 1, 2]])
    """
    import nir

    _check.in_range("`to_data(dt=...)`", dt, above=0)
    _check.one_of("`to_data(layout=...)`", layout, ("channels_last", "channels_first"))
    x = np.asarray(_check.sequence("`to_data(xs=...)`", xs))
    if x.ndim < 3:
        raise ValueError(
            f"`to_data(xs=...)` must be [T, N, *], got the shape {x.shape}. Add the batch axis."
        )
    if layout == "channels_last" and x.ndim > 3:
        x = np.moveaxis(x, -1, 2)
    grid = x.reshape(*x.shape[:2], -1).swapaxes(0, 1)  # [N, T, neurons]
    binary = bool(np.all((grid == 0) | (grid == 1)))
    if not events:
        return nir.TimeGriddedData(grid.astype(bool) if binary else grid, float(dt))
    found = [np.nonzero(sample) for sample in grid]
    most = max(len(steps) for steps, _ in found)
    idx = np.full((len(grid), most), -1)
    time, value = np.full(idx.shape, np.inf), np.zeros(idx.shape, grid.dtype)
    for n, (steps, neurons) in enumerate(found):
        idx[n, : len(steps)] = neurons
        time[n, : len(steps)] = (steps + 0.5) * dt
        value[n, : len(steps)] = grid[n, steps, neurons]
    n_neurons, t_max = grid.shape[2], grid.shape[1] * float(dt)
    if binary:
        return nir.EventData(idx, time, n_neurons, t_max)
    return nir.ValuedEventData(idx, time, n_neurons, t_max, value)


def from_data(
    data: Any,
    dt: float | None = None,
    *,
    shape: Shape | None = None,
    layout: str = "channels_last",
) -> Array:
    """A sequence ``[T, N, *]`` from one of NIR's containers.

    An event falls into the step that its time is in; several of one neuron in one step are counted,
    or their values added up.

    Args:
        data: ``nir.TimeGriddedData``, ``nir.EventData`` or ``nir.ValuedEventData``.
        dt: Length of a time step in seconds; None is that of the grid, which events do not have.
        shape: Shape of one sample in ``layout``; None is one axis.
        layout: Where the channels are to be, "channels_last" or "channels_first".

    Returns:
        Float32, ``[T, N, *]``.

    Raises:
        TypeError: If ``data`` is no container of NIR.
        ValueError: If ``dt`` is missing or another than that of the grid, an event is outside, or
            ``shape`` does not hold as many neurons.

    Example:
        >>> import nir, numpy as np, jaxspike as js, jaxspike.nir
        >>> events = nir.EventData(np.array([[1, 0]]), np.array([[0.0, 2.5e-3]]), 2, 3e-3)
        >>> js.nir.from_data(events, dt=1e-3)[:, 0]
        Array([[0., 1.],
               [0., 0.],
               [1., 0.]], dtype=float32)
    """
    _check.one_of("`from_data(layout=...)`", layout, ("channels_last", "channels_first"))
    if dt is not None:
        _check.in_range("`from_data(dt=...)`", dt, above=0)
    if hasattr(data, "data") and hasattr(data, "dt"):
        grid = np.asarray(data.data, np.float32)
        if dt is not None and not math.isclose(dt, data.dt, rel_tol=1e-6):
            raise ValueError(
                f"`from_data(dt=...)` must be that of the grid, {data.dt:g}, got {dt:g}. "
                "Resample the data first."
            )
    elif hasattr(data, "idx") and hasattr(data, "time"):
        grid = _grid(data, dt)
    else:
        raise TypeError(
            f"`from_data(data=...)` must be nir.TimeGriddedData or nir.EventData, got {data!r}."
        )
    x = grid.swapaxes(0, 1)
    if shape is None:
        return jnp.asarray(x)
    shape = check_shape("from_data", shape)
    if math.prod(shape) != x.shape[2]:
        raise ValueError(
            f"`from_data(shape=...)` must hold {x.shape[2]} neurons, got {shape}. "
            "Give the shape of one sample, without time and batch."
        )
    inside = first(shape) if layout == "channels_last" and len(shape) > 1 else shape
    x = x.reshape(*x.shape[:2], *inside)
    return jnp.asarray(np.moveaxis(x, 2, -1) if inside is not shape else x)


def _grid(data: Any, dt: float | None) -> Any:
    if dt is None:
        raise ValueError("`from_data(dt=...)` must be given for events, got None. Give seconds.")
    idx, time = np.asarray(data.idx), np.asarray(data.time)
    there = idx != -1
    # an event at k * dt is in step k, whatever the last digit of the product
    steps = np.floor(time[there] / dt + 1e-6)
    length, neurons = round(data.t_max / dt), idx[there]
    outside = ~((steps >= 0) & (steps < length)) | (neurons < 0) | (neurons >= data.n_neurons)
    if np.any(outside):
        raise ValueError(
            f"`from_data(data=...)` must have its events from 0 to t_max={data.t_max:g} and at its "
            f"{data.n_neurons} neurons, got neuron {neurons[outside][0]} at "
            f"{time[there][outside][0]:g}."
        )
    grid = np.zeros((len(idx), length, data.n_neurons), np.float32)
    values = np.asarray(data.value)[there] if hasattr(data, "value") else 1.0
    np.add.at(grid, (np.nonzero(there)[0], steps.astype(int), neurons), values)
    return grid
