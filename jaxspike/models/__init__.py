"""x."""

from .spikformer import (
    spikformer as spikformer,
    spikformer_cifar10 as spikformer_cifar10,
    spikformer_s as spikformer_s,
    spikformer_ti as spikformer_ti,
)
from .spike_driven_transformer import (
    sdt_8_384 as sdt_8_384,
    spike_driven_transformer as spike_driven_transformer,
)
from .qkformer import qkformer as qkformer, qkformer_10_384 as qkformer_10_384
from .maxformer import (
    maxformer as maxformer,
    maxformer_10_384 as maxformer_10_384,
    maxformer_cifar as maxformer_cifar,
)
