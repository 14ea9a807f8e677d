"""Networks and weights from other libraries, from other Flax networks, and from ANNs."""

from .ann import from_ann as from_ann
from .conversion_report import Activation as Activation, ConversionReport as ConversionReport
from .potentials import calibrate_potentials as calibrate_potentials
from .signed import signed_spiking as signed_spiking
from .spiking import spiking as spiking
from .spiking_ann import SpikingANN as SpikingANN
from .torch import from_torch as from_torch, to_torch as to_torch
