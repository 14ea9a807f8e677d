"""What the networks are made of: checks of sizes, and layers with the defaults of PyTorch."""

from flax import nnx

from .._check import axes, instance, integer, shown
from .._types import Array, Shape
from ..neurons import IF
from ..nn import BatchNorm, Conv, MaxPool
from ..nn.prototype import (
    ATTENTION_LIF as ATTENTION_LIF,
    LIF_DETACHED as LIF_DETACHED,
    Prototype as Prototype,
    check_prototypes,
    copy_of as copy_of,
)
from ..surrogate import ATan

#: The neuron of the papers on deep residual networks.
IF_ATAN = IF(surrogate=ATan(), detach_reset=True)


def check_sizes(owner: str, **sizes: int) -> None:
    """Refuse numbers of classes, channels and so on that are not positive integers."""
    for argument, value in sizes.items():
        integer(f"`{owner}({argument}=...)`", value, low=1)


def check_stages(owner: str, number: int | None = None, **values: tuple[int, ...]) -> None:
    """Refuse what is not a positive integer for each stage, of which ``number`` says how many."""
    for argument, value in values.items():
        if not isinstance(value, tuple | list) or len(value) != (number or len(value) or 1):
            word = {None: "a tuple", 3: "three", 4: "four", 5: "five"}[number]
            where = f"`{owner}({argument}=...)`"
            raise ValueError(f"{where} must be {word}, one for each stage, got {value!r}.")
        for n in value:
            check_sizes(owner, **{argument: n})


def check_parts(owner: str, rngs: nnx.Rngs, **prototypes: Prototype) -> None:
    """Refuse what is not a source of keys, and what is neither a neuron nor a layer of neurons."""
    where, fix = f"`{owner}(rngs=...)`", "Give `nnx.Rngs(0)`."
    instance(where, rngs, nnx.Rngs, "a source of keys", fix)
    check_prototypes(owner, **prototypes)


def check_images(net: nnx.Module, x: Array, *size: int) -> None:
    """Refuse what is not a batch of images: ``size`` is height, width and channels, or channels."""
    where = f"`{type(net).__name__}(x=...)`"
    known: tuple[str, ...] = () if len(size) == 3 else ("H", "W")
    fix = "Channels come last, and time, if any, first."
    axes(where, x, "...", "N", *known, *size, fix=fix)


def pooled_size(owner: str, size: Shape, times: int) -> tuple[int, int]:
    """Height and width of images after so many poolings of size 2."""
    where = f"`{owner}(size=...)`"
    what, fix = "the height and width of the images", "Give (28, 28)."
    instance(where, size, tuple, what, fix)
    if len(size) != 2:
        raise ValueError(f"{where} must be {what}, got {size}. {fix}")
    for n in size:
        instance(where, n, int, what, fix, show=lambda _: shown(size))
    height, width = (n // 2**times for n in size)
    if min(height, width) < 1:
        raise ValueError(f"{where} must be at least {2**times} on each side, got {size}.")
    return height, width


def conv(
    inputs: int, outputs: int, size: int, stride: int = 1, *, bias: bool = False, rngs: nnx.Rngs
) -> Conv:
    """A convolution padded by half its size, with He's initialization for its outputs."""
    return Conv(
        inputs,
        outputs,
        (size, size),
        strides=stride,
        padding=size // 2,
        use_bias=bias,
        kernel_init=nnx.initializers.variance_scaling(2.0, "fan_out", "normal"),
        rngs=rngs,
    )


def norm(features: int, *, scale: float = 1.0, rngs: nnx.Rngs) -> BatchNorm:
    """A batch normalization with the momentum and the variance of PyTorch.

    The variance that Flax computes by default cancels in float32: it put an error of 1e-4 into
    gradients that have 1e-5 this way.
    """
    init = nnx.initializers.constant(scale)
    return BatchNorm(features, momentum=0.9, scale_init=init, rngs=rngs)


def max_pool() -> MaxPool:
    """A max pooling that halves an image, of windows of size 3."""
    return MaxPool((3, 3), (2, 2), ((1, 1), (1, 1)))
