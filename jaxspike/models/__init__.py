"""Networks of the literature, one file for each family, with the layer names of SpikingJelly.

``js.convert.from_torch(net, state_dict)`` loads a checkpoint of the same network there.
"""

from .sew_resnet import (
    sew_resnet18 as sew_resnet18,
    sew_resnet34 as sew_resnet34,
    sew_resnet50 as sew_resnet50,
)
