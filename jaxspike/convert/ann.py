"""Weights of a Flax network of the same layers, spiking or not."""

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from flax import nnx

from ..nn import Spiking
from .entry import stored
from .layers import own_variables
from .transfer import Layers, load, modules

Net = TypeVar("Net", bound=nnx.Module)


def from_ann(net: Net, ann: nnx.Module, *, names: Mapping[str, str] | None = None) -> Net:
    """A copy of a network with the weights of a Flax network of the same layers.

    One of them may be spiking and the other not, in either direction: activations and neurons are
    passed over, their learned fields too, and every other array of ``ann`` (`flax.nnx.Param` and
    ``BatchStat``) is used once or it is an error. Layers go by their names; where the names of a
    container differ, as positions do, in order (see `from_torch`).

    The copy is for fine-tuning: a spiking network does not compute what the ANN does.

    Args:
        net: The network to copy.
        ann: Where the weights come from; unchanged.
        names: As in `from_torch`: from a layer or container of ``ann``, named without the
            ``layers`` of a Sequential, to its path in ``net``.

    Returns:
        A new network; dtypes are those of ``net``, which is unchanged.

    Raises:
        ValueError: If arrays are missing or left over, or differ in shape.

    Example:
        >>> import jaxspike as js
        >>> from flax import nnx
        >>> ann = nnx.Sequential(nnx.Linear(3, 2, rngs=nnx.Rngs(0)), nnx.relu)
        >>> snn = js.nn.Sequential(nnx.Linear(3, 2, rngs=nnx.Rngs(1)), js.LIF())
        >>> snn = js.convert.from_ann(snn, ann)
        >>> bool((snn.layers[0].kernel[...] == ann.layers[0].kernel[...]).all())
        True
    """
    net = nnx.clone(net)
    groups: Any = {
        name: {key: np.asarray(entry.value) for key, entry in entries.items()}
        for name, (_, entries) in _arrays(ann).items()
    }
    load("from_ann", _arrays(net), groups, names or {})
    return net


def _arrays(net: nnx.Module) -> Layers:
    return {
        name: (path, {key: stored(v) for key, v in own.items()})
        for name, path, module in modules(net)
        if not isinstance(module, Spiking) and (own := own_variables(module))
    }
