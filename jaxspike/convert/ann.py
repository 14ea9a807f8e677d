"""Weights from a Flax network of the same layers, spiking or not."""

from collections.abc import Mapping
from typing import TypeVar

from flax import nnx

from ..nn import Spiking
from .layers import own_variables
from .slot import variable_slot
from .transfer import Groups, Layers, load, modules

Net = TypeVar("Net", bound=nnx.Module)


def from_ann(net: Net, ann: nnx.Module, *, names: Mapping[str, str] | None = None) -> Net:
    """A copy of a network with the weights of a Flax network of the same layers.

    Either of them may be spiking: activations and neurons, with their learned fields, are skipped,
    and every other array of ``ann`` (`flax.nnx.Param` and ``BatchStat``) must be used exactly once.
    Layers are matched by name; where the names in a container differ, as positions do, in order
    (see `from_torch`).

    The copy is meant for fine-tuning: a spiking network does not compute what the ANN does.

    Args:
        net: The network to copy.
        ann: The network that the weights come from; unchanged.
        names: As in `from_torch`: from the path of a layer or container in ``ann`` to its path in
            ``net``.

    Returns:
        A new network with the dtypes of ``net``, which is unchanged.

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
    groups: Groups = {
        name: {key: slot.value for key, slot in slots.items()}
        for name, slots in _slots(ann).items()
    }
    load("from_ann", _slots(net), groups, names or {})
    return net


def _slots(net: nnx.Module) -> Layers:
    return {
        name: {key: variable_slot(v) for key, v in own.items()}
        for name, _, module in modules(net)
        if not isinstance(module, Spiking) and (own := own_variables(module))
    }
