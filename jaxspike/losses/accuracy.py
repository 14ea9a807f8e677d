"""The accuracies that match the losses."""

import jax.numpy as jnp

from .._types import Array
from ..readout import count
from ._labels import Readout, check_labels, classes, nan_where_no_class, read


def accuracy(x_seq: Array, labels: Array, readout: Readout = count) -> Array:
    """The fraction of samples whose largest readout is that of their class.

    Args:
        x_seq: Spikes or membranes ``[T, N, C]``.
        labels: Classes ``[N]``, integers from 0 to C - 1.
        readout: A function ``[T, N, *] -> [N, C]``; among equal outputs the first wins.

    Returns:
        A scalar in ``[0, 1]``.

    Raises:
        TypeError: If ``x_seq`` is not real or ``labels`` are not integers.
        ValueError: If a shape does not fit or a label is not a class.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> spikes = jnp.zeros((8, 2, 10)).at[:, 0, 3].set(1)
        >>> js.losses.accuracy(spikes, jnp.array([3, 5]))
        Array(0.5, dtype=float32)

    Source: snnTorch ``accuracy_rate``, ``accuracy_temporal``.
    """
    y, labels = read("accuracy", x_seq, readout), classes("accuracy", labels)
    check_labels("accuracy", y, labels)
    right = (jnp.argmax(y, -1) == labels).astype(y.dtype)
    return nan_where_no_class(right, labels, y.shape[-1]).mean()
