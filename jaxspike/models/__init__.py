"""Networks of the literature, one file for each family, with the layer names of SpikingJelly.

``js.convert.from_torch(net, state_dict)`` loads a checkpoint of the same network there.
"""

from .conv_net import conv_ann as conv_ann, conv_net as conv_net
from .maxformer import (
    maxformer as maxformer,
    maxformer_10_384 as maxformer_10_384,
    maxformer_cifar as maxformer_cifar,
)
from .ms_resnet import (
    max_resnet18 as max_resnet18,
    ms_resnet as ms_resnet,
    ms_resnet18 as ms_resnet18,
    ms_resnet34 as ms_resnet34,
)
from .plif_net import (
    cifar10_dvs_net as cifar10_dvs_net,
    cifar10_net as cifar10_net,
    dvs_gesture_net as dvs_gesture_net,
    fashion_mnist_net as fashion_mnist_net,
    mnist_net as mnist_net,
    nmnist_net as nmnist_net,
    plif_net as plif_net,
)
from .pretrained import card as card, list as list, load as load
from .qkformer import qkformer as qkformer, qkformer_10_384 as qkformer_10_384
from .recurrent_net import recurrent_net as recurrent_net
from .sew_resnet import (
    sew_resnet as sew_resnet,
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
from .spiking_mlp import spiking_mlp as spiking_mlp
from .spiking_resnet import (
    spiking_resnet as spiking_resnet,
    spiking_resnet18 as spiking_resnet18,
    spiking_resnet34 as spiking_resnet34,
    spiking_resnet50 as spiking_resnet50,
)
from .spiking_vgg import (
    spiking_vgg as spiking_vgg,
    spiking_vgg11 as spiking_vgg11,
    spiking_vgg16 as spiking_vgg16,
)
from .state_space_net import state_space_net as state_space_net
