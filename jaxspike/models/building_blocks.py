"""What the networks are made of: layers with the defaults of PyTorch, and copies of neurons."""

from flax import nnx

from .._check import instance, integer
from ..neurons import IF, Neuron, SequenceNeuron
from ..nn import Spiking, SpikingModule
from ..surrogate import ATan

#: What `neuron=` may be: a prototype, of which every layer gets a copy.
Prototype = Neuron | SequenceNeuron | SpikingModule

#: The neuron of the papers on deep residual networks.
IF_ATAN = IF(surrogate=ATan(), detach_reset=True)


def check_sizes(owner: str, **sizes: int) -> None:
    """Refuse numbers of classes, channels and so on that are not positive integers."""
    for argument, value in sizes.items():
        integer(f"`{owner}({argument}=...)`", value, low=1)


def copy_of(owner: str, neuron: Prototype) -> SpikingModule:
    """A new layer like the prototype ``neuron``, with parameters of its own."""
    what = "a neuron or a layer of neurons"
    fix = "Give an instance, such as `jaxspike.LIF()`."
    instance(f"`{owner}(neuron=...)`", neuron, Prototype, what, fix)
    return nnx.clone(neuron) if isinstance(neuron, SpikingModule) else Spiking(neuron)


def conv(
    inputs: int, outputs: int, size: int, stride: int = 1, *, bias: bool = False, rngs: nnx.Rngs
) -> nnx.Conv:
    """A convolution padded by half its size, with He's initialization for its outputs."""
    return nnx.Conv(
        inputs,
        outputs,
        (size, size),
        strides=stride,
        padding=size // 2,
        use_bias=bias,
        kernel_init=nnx.initializers.variance_scaling(2.0, "fan_out", "normal"),
        rngs=rngs,
    )


def norm(features: int, *, scale: float = 1.0, rngs: nnx.Rngs) -> nnx.BatchNorm:
    """A batch normalization with the momentum of PyTorch."""
    init = nnx.initializers.constant(scale)
    return nnx.BatchNorm(features, momentum=0.9, scale_init=init, rngs=rngs)
