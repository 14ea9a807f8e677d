"""Flax NNX layers: they hold parameters, the neurons do the arithmetic."""

import sys as _sys
import typing as _typing

from flax import nnx as _nnx

from .. import _elsewhere, neurons as _neurons
from .empty_state import EmptyState as EmptyState
from .layers import (
    DHLIF as DHLIF,
    QCFS as QCFS,
    AdaptiveAvgPool as AdaptiveAvgPool,
    AvgPool as AvgPool,
    BatchNorm as BatchNorm,
    BatchNormThroughTime as BatchNormThroughTime,
    Bidirectional as Bidirectional,
    ChannelQKAttention as ChannelQKAttention,
    Conv as Conv,
    Delayed as Delayed,
    DelayedState as DelayedState,
    DropConnectLinear as DropConnectLinear,
    Dropout as Dropout,
    Flatten as Flatten,
    LSTMState as LSTMState,
    MaxPool as MaxPool,
    MultiDimensionalAttention as MultiDimensionalAttention,
    NeuNorm as NeuNorm,
    SparseLinear as SparseLinear,
    SpikeDrivenSelfAttention as SpikeDrivenSelfAttention,
    SpikingGRU as SpikingGRU,
    SpikingLSTM as SpikingLSTM,
    SpikingS4D as SpikingS4D,
    SpikingSelfAttention as SpikingSelfAttention,
    TemporalEffectiveBatchNorm as TemporalEffectiveBatchNorm,
    TemporalWiseAttention as TemporalWiseAttention,
    ThresholdDependentBatchNorm as ThresholdDependentBatchNorm,
    TokenQKAttention as TokenQKAttention,
    Upsample as Upsample,
    Voting as Voting,
    WSConv as WSConv,
    WSLinear as WSLinear,
    fold_time as fold_time,
    fuse_conv_bn as fuse_conv_bn,
)
from .module import Constant as Constant, Spiking as Spiking, SpikingModule as SpikingModule
from .parallel import Parallel as Parallel
from .plastic import Plastic as Plastic, PlasticState as PlasticState
from .recurrent import Recurrent as Recurrent, RecurrentState as RecurrentState
from .residual import Residual as Residual
from .sequential import Sequential as Sequential

if not _typing.TYPE_CHECKING:  # a type checker knows the names

    def __getattr__(name: str):
        raise _elsewhere.no_attribute(_sys.modules[__name__], name, (_neurons, _nnx))
