"""What the networks are made of: layers with the defaults of PyTorch, and copies of neurons."""

from collections.abc import Callable

from flax import nnx

from .._check import instance, integer
from .._types import Shape
from ..engine import conv_in_chunks
from ..neurons import IF, Neuron, SequenceNeuron
from ..nn import Spiking, SpikingModule
from ..surrogate import ATan

#: What `neuron=` may be: a prototype, of which every layer gets a copy.
Prototype = Neuron | SequenceNeuron | SpikingModule

NewNeuron = Callable[[], SpikingModule]

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


def pooled_size(owner: str, size: Shape, times: int) -> tuple[int, int]:
    """Height and width of images after so many poolings of size 2."""
    where = f"`{owner}(size=...)`"
    instance(where, size, tuple, "the height and width of the images", "Give (28, 28).")
    height, width = (n // 2**times for n in size)
    if min(height, width) < 1:
        raise ValueError(f"{where} must be at least {2**times} on each side, got {size}.")
    return height, width


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
        conv_general_dilated=conv_in_chunks,
        kernel_init=nnx.initializers.variance_scaling(2.0, "fan_out", "normal"),
        rngs=rngs,
    )


def norm(features: int, *, scale: float = 1.0, rngs: nnx.Rngs) -> nnx.BatchNorm:
    """A batch normalization with the momentum of PyTorch, and its way to compute a variance.

    Flax's default, the mean of the squares minus the square of the mean, cancels in float32: it put
    an error of 1e-4 into gradients that have 1e-5 this way.
    """
    init = nnx.initializers.constant(scale)
    return nnx.BatchNorm(
        features, momentum=0.9, use_fast_variance=False, scale_init=init, rngs=rngs
    )
