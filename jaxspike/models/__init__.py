"""Networks of the literature, one file for each family, with the layer names of SpikingJelly.

``js.convert.from_torch(net, state_dict)`` loads a checkpoint of the same network there.
"""

from .maxformer import (
    maxformer as maxformer,
    maxformer_10_384 as maxformer_10_384,
    maxformer_cifar as maxformer_cifar,
)
from .qkformer import qkformer as qkformer, qkformer_10_384 as qkformer_10_384
from .sew_resnet import (
    sew_resnet18 as sew_resnet18,
    sew_resnet34 as sew_resnet34,
    sew_resnet50 as sew_resnet50,
)
from .spike_driven_transformer import (
    sdt_8_384 as sdt_8_384,
    spike_driven_transformer as spike_driven_transformer,
)
from .spikformer import (
    spikformer as spikformer,
    spikformer_cifar10 as spikformer_cifar10,
    spikformer_s as spikformer_s,
    spikformer_ti as spikformer_ti,
)
