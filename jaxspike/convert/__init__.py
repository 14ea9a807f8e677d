"""Networks and weights from other libraries, from other Flax networks, and from ANNs."""

from .ann import from_ann as from_ann
from .spiking import SpikingANN as SpikingANN, spiking as spiking
from .torch import from_torch as from_torch, to_torch as to_torch
