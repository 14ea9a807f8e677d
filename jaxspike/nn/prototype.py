"""Prototypes: the neuron that a layer or a network is given, to be copied to many places."""

from flax import nnx

from .._check import instance
from ..neurons import LIF, Neuron, SequenceNeuron
from .module import Spiking, SpikingModule

#: What ``neuron=`` may be: a neuron, or a layer of neurons with learned parameters.
Prototype = Neuron | SequenceNeuron | SpikingModule

#: The neurons of SpikingJelly's attention.
LIF_DETACHED = LIF(tau=2.0, detach_reset=True)
ATTENTION_LIF = LIF(tau=2.0, v_threshold=0.5, detach_reset=True)


def check_prototypes(owner: str, **prototypes: Prototype) -> None:
    """Refuse an argument of ``owner`` that is neither a neuron nor a layer of neurons."""
    for argument, value in prototypes.items():
        where = f"`{owner}({argument}=...)`"
        fix = "Give an instance, such as `jaxspike.LIF()`."
        instance(where, value, Prototype, "a neuron or a layer of neurons", fix)


def copy_of(prototype: Prototype) -> SpikingModule:
    """A new layer like ``prototype``, with parameters of its own."""
    if isinstance(prototype, SpikingModule):
        return nnx.clone(prototype)
    return Spiking(prototype)
