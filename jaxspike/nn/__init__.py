"""Flax NNX layers: they hold parameters, the neurons do the arithmetic."""

from ._state import Rank as Rank
from .dropout import Dropout as Dropout
from .flatten import Flatten as Flatten
from .fold_time import fold_time as fold_time
from .init_firing import init_firing as init_firing
from .module import SpikingModule as SpikingModule
from .pool import AvgPool as AvgPool, MaxPool as MaxPool
from .recurrent import Recurrent as Recurrent, RecurrentState as RecurrentState
from .sequential import Sequential as Sequential
from .spiking import Constant as Constant, Spiking as Spiking
