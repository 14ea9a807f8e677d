"""Neuron models, one file each."""

from .base import Neuron as Neuron
from .if_ import IF as IF, IFState as IFState
from .li import LI as LI, LIState as LIState
from .lif import LIF as LIF, LIFState as LIFState
