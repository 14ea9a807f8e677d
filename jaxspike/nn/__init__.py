"""Flax NNX layers: they hold parameters, the neurons do the arithmetic."""

from .empty_state import EmptyState as EmptyState
from .layers import (
    AdaptiveAvgPool as AdaptiveAvgPool,
    AvgPool as AvgPool,
    BatchNormThroughTime as BatchNormThroughTime,
    Bidirectional as Bidirectional,
    DropConnectLinear as DropConnectLinear,
    Dropout as Dropout,
    Flatten as Flatten,
    LSTMState as LSTMState,
    MaxPool as MaxPool,
    MultiDimensionalAttention as MultiDimensionalAttention,
    NeuNorm as NeuNorm,
    SpikingGRU as SpikingGRU,
    SpikingLSTM as SpikingLSTM,
    SpikingSelfAttention as SpikingSelfAttention,
    TemporalEffectiveBatchNorm as TemporalEffectiveBatchNorm,
    TemporalWiseAttention as TemporalWiseAttention,
    ThresholdDependentBatchNorm as ThresholdDependentBatchNorm,
    Upsample as Upsample,
    WSConv as WSConv,
    WSLinear as WSLinear,
    fold_time as fold_time,
    fuse_conv_bn as fuse_conv_bn,
)
from .module import Constant as Constant, Spiking as Spiking, SpikingModule as SpikingModule
from .plastic import Plastic as Plastic, PlasticState as PlasticState
from .recurrent import Recurrent as Recurrent, RecurrentState as RecurrentState
from .sequential import Sequential as Sequential
