"""NIR's containers for recorded signals to and from arrays ``[T, N, *]``."""

import math

import jax.numpy as jnp
import numpy as np

from .. import _check
from .._state import check_shape
from .._types import Array, Shape
from .layout import first


def to_data(x_seq: Array, dt: float, *, events: bool = False, layout: str = "channels_last"):
    """A sequence as one of NIR's containers, for ``nir.NIRNodeData`` and ``nir.write_data``.

    The containers number neurons from 0; those of images in NIR's order, channels first.

    Args:
        x_seq: Spikes or values, ``[T, N, *]``.
        dt: Length of a time step in seconds.
        events: Whether to list the nonzero values, each in the middle of its step.
        layout: Where the channels of ``x_seq`` are, "channels_last" or "channels_first".

    Returns:
        ``nir.TimeGriddedData``, boolean if all values are 0 or 1. With ``events``,
        ``nir.EventData`` if all values are 0 or 1, else ``nir.ValuedEventData``.

    Raises:
        ImportError: Without ``pip install 'jaxspike[nir]'``.
        ValueError: If ``x_seq`` has no time or batch axis, or ``dt`` is not greater than 0.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> data = js.nir.to_data(jnp.eye(3)[:, None], dt=1e-3, events=True)
        >>> data.idx
        array([[0, 1, 2]])
    """
    nir = _check.package("`to_data`", "nir", "nir")
    dt = _check.number("`to_data(dt=...)`", dt, above=0)
    _check.one_of("`to_data(layout=...)`", layout, ("channels_last", "channels_first"))
    x = np.asarray(_check.sequence("`to_data(x_seq=...)`", x_seq))
    if x.ndim < 3:
        got = f"got the shape {x.shape}. Add the batch axis."
        raise ValueError(f"`to_data(x_seq=...)` must be [T, N, *], {got}")
    if layout == "channels_last" and x.ndim > 3:
        x = np.moveaxis(x, -1, 2)
    grid = x.reshape(*x.shape[:2], -1).swapaxes(0, 1)  # [N, T, neurons]
    binary = bool(np.all((grid == 0) | (grid == 1)))
    if not events:
        return nir.TimeGriddedData(grid.astype(bool) if binary else grid, dt)
    found = [np.nonzero(sample) for sample in grid]
    most = max(len(steps) for steps, _ in found)
    idx = np.full((len(grid), most), -1)
    time, value = np.full(idx.shape, np.inf), np.zeros(idx.shape, grid.dtype)
    for n, (steps, neurons) in enumerate(found):
        idx[n, : len(steps)] = neurons
        time[n, : len(steps)] = (steps + 0.5) * dt
        value[n, : len(steps)] = grid[n, steps, neurons]
    n_neurons, t_max = grid.shape[2], grid.shape[1] * dt
    if binary:
        return nir.EventData(idx, time, n_neurons, t_max)
    return nir.ValuedEventData(idx, time, n_neurons, t_max, value)


def from_data(
    data, dt: float | None = None, *, shape: Shape | None = None, layout: str = "channels_last"
) -> Array:
    """A sequence ``[T, N, *]`` from one of NIR's containers.

    An event belongs to the step that its time falls into. Several events of a neuron in one step
    are counted, or their values summed.

    Args:
        data: ``nir.TimeGriddedData``, ``nir.EventData`` or ``nir.ValuedEventData``.
        dt: Length of a time step in seconds; None for that of the grid; events have none.
        shape: Shape of one sample in ``layout``; None for a single axis.
        layout: Where to put the channels, "channels_last" or "channels_first".

    Returns:
        Float32, ``[T, N, *]``.

    Raises:
        TypeError: If ``data`` is not a container of NIR.
        ValueError: If ``dt`` is missing or differs from that of the grid, an event is outside, or
            ``shape`` has another number of neurons.

    Example:
        >>> import nir, numpy as np, jaxspike as js
        >>> events = nir.EventData(np.array([[1, 0]]), np.array([[0.0, 2.5e-3]]), 2, 3e-3)
        >>> js.nir.from_data(events, dt=1e-3)[:, 0]
        Array([[0., 1.],
               [0., 0.],
               [1., 0.]], dtype=float32)
    """
    _check.one_of("`from_data(layout=...)`", layout, ("channels_last", "channels_first"))
    if dt is not None:
        _check.number("`from_data(dt=...)`", dt, above=0)
    if hasattr(data, "data") and hasattr(data, "dt"):
        grid = np.asarray(data.data, np.float32)
        if dt is not None and not math.isclose(dt, data.dt, rel_tol=1e-6):
            got = f"got {dt:g}. Resample the data first."
            raise ValueError(f"`from_data(dt=...)` must be that of the grid, {data.dt:g}, {got}")
    elif hasattr(data, "idx") and hasattr(data, "time"):
        grid = _grid(data, dt)
    else:
        must = "must be nir.TimeGriddedData or nir.EventData"
        raise TypeError(f"`from_data(data=...)` {must}, got {data!r}.")
    x = grid.swapaxes(0, 1)
    if shape is None:
        return jnp.asarray(x)
    shape = check_shape("from_data", shape)
    if math.prod(shape) != x.shape[2]:
        got = f"got {shape}. Give the shape of one sample, without time and batch."
        raise ValueError(f"`from_data(shape=...)` must hold {x.shape[2]} neurons, {got}")
    inside = first(shape) if layout == "channels_last" and len(shape) > 1 else shape
    x = x.reshape(*x.shape[:2], *inside)
    return jnp.asarray(np.moveaxis(x, 2, -1) if inside is not shape else x)


def _grid(data, dt: float | None) -> np.ndarray:
    if dt is None:
        raise ValueError("`from_data(dt=...)` must be given for events, got None. Give seconds.")
    idx, time = np.asarray(data.idx), np.asarray(data.time)
    real = idx != -1  # the others fill up the rows
    # an event at k * dt is in step k, despite rounding of the product
    step = np.floor(time[real] / dt + 1e-6)
    steps, neurons = round(data.t_max / dt), idx[real]
    outside = ~((step >= 0) & (step < steps)) | (neurons < 0) | (neurons >= data.n_neurons)
    if np.any(outside):
        must = f"must have events from 0 to t_max={data.t_max:g} at its {data.n_neurons} neurons"
        got = f"got neuron {neurons[outside][0]} at {time[real][outside][0]:g}."
        raise ValueError(f"`from_data(data=...)` {must}, {got}")
    grid = np.zeros((len(idx), steps, data.n_neurons), np.float32)
    values = np.asarray(data.value)[real] if hasattr(data, "value") else 1.0
    np.add.at(grid, (np.nonzero(real)[0], step.astype(int), neurons), values)
    return grid
