"""Layers: one file for each kind."""

from .attention import (
    MultiDimensionalAttention as MultiDimensionalAttention,
    TemporalWiseAttention as TemporalWiseAttention,
)
from .batch_norm import (
    BatchNorm as BatchNorm,
    BatchNormThroughTime as BatchNormThroughTime,
    TemporalEffectiveBatchNorm as TemporalEffectiveBatchNorm,
    ThresholdDependentBatchNorm as ThresholdDependentBatchNorm,
)
from .conv import Conv as Conv
from .delayed import Delayed as Delayed, DelayedState as DelayedState
from .dhlif import DHLIF as DHLIF
from .drop_connect import DropConnectLinear as DropConnectLinear
from .dropout import Dropout as Dropout
from .flatten import Flatten as Flatten
from .fold_time import fold_time as fold_time
from .fuse_conv_bn import fuse_conv_bn as fuse_conv_bn
from .neu_norm import NeuNorm as NeuNorm
from .pool import (
    AdaptiveAvgPool as AdaptiveAvgPool,
    AvgPool as AvgPool,
    MaxPool as MaxPool,
    Upsample as Upsample,
)
from .qcfs import QCFS as QCFS
from .qk_attention import (
    ChannelQKAttention as ChannelQKAttention,
    TokenQKAttention as TokenQKAttention,
)
from .rnn import (
    Bidirectional as Bidirectional,
    LSTMState as LSTMState,
    SpikingGRU as SpikingGRU,
    SpikingLSTM as SpikingLSTM,
)
from .self_attention import SpikingSelfAttention as SpikingSelfAttention
from .sparse import SparseLinear as SparseLinear
from .spike_driven_attention import SpikeDrivenSelfAttention as SpikeDrivenSelfAttention
from .spiking_s4d import SpikingS4D as SpikingS4D
from .voting import Voting as Voting
from .weight_standardization import WSConv as WSConv, WSLinear as WSLinear
