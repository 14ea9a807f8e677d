"""Flax NNX layers: they hold parameters, the neurons do the arithmetic."""

from ._state import Rank as Rank
from .attention import (
    MultiDimensionalAttention as MultiDimensionalAttention,
    TemporalWiseAttention as TemporalWiseAttention,
)
from .drop_connect import DropConnectLinear as DropConnectLinear
from .dropout import Dropout as Dropout
from .flatten import Flatten as Flatten
from .fold_time import fold_time as fold_time
from .fuse import fuse_conv_bn as fuse_conv_bn
from .init_firing import init_firing as init_firing
from .module import SpikingModule as SpikingModule
from .neunorm import NeuNorm as NeuNorm
from .norm import (
    BatchNormThroughTime as BatchNormThroughTime,
    TemporalEffectiveBatchNorm as TemporalEffectiveBatchNorm,
    ThresholdDependentBatchNorm as ThresholdDependentBatchNorm,
)
from .pool import AvgPool as AvgPool, MaxPool as MaxPool
from .recurrent import Recurrent as Recurrent, RecurrentState as RecurrentState
from .resize import AdaptiveAvgPool as AdaptiveAvgPool, Upsample as Upsample
from .rnn import (
    Bidirectional as Bidirectional,
    LSTMState as LSTMState,
    SpikingGRU as SpikingGRU,
    SpikingLSTM as SpikingLSTM,
)
from .self_attention import SpikingSelfAttention as SpikingSelfAttention
from .sequential import Sequential as Sequential
from .spiking import Constant as Constant, Spiking as Spiking
from .weight_standardization import WSConv as WSConv, WSLinear as WSLinear
