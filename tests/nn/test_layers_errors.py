"""The errors of the layers, by their exact sentences."""

import jax.numpy as jnp
import pytest
from flax import nnx

import jaxspike as js

T, N, C = 5, 3, 4
RNGS = nnx.Rngs(0)
ONES = jnp.ones((T, N, C))
TEBN = js.nn.TemporalEffectiveBatchNorm(C, T, rngs=RNGS)
BNTT = js.nn.BatchNormThroughTime(C, T)
TWA = js.nn.TemporalWiseAttention(T, 2, rngs=RNGS)
MDA = js.nn.MultiDimensionalAttention(T, C, 2, 2, rngs=RNGS)
NEUNORM = js.nn.NeuNorm((2, C), rngs=RNGS)
LSTM = js.nn.SpikingLSTM(C, 2, rngs=RNGS)
SSA = js.nn.SpikingSelfAttention(8, 2, rngs=RNGS)
DROP = js.nn.DropConnectLinear(C, 2, rngs=RNGS)
CONV = js.nn.Sequential(nnx.Linear(C, C, rngs=RNGS), nnx.BatchNorm(C, rngs=RNGS))


def given(layer, x, shape=None):
    """A call of a layer, with the state of one step of `shape`."""
    return lambda: layer(layer.init_state(x.shape[1:] if shape is None else shape), x)


CASES = [
    (
        lambda: js.nn.ThresholdDependentBatchNorm(C, v_threshold=0, rngs=RNGS),
        "`ThresholdDependentBatchNorm(v_threshold=...)` must be greater than 0, got 0.",
    ),
    (
        lambda: js.nn.ThresholdDependentBatchNorm(C, alpha=-1.0, rngs=RNGS),
        "`ThresholdDependentBatchNorm(alpha=...)` must be greater than 0, got -1.0.",
    ),
    (
        lambda: js.nn.TemporalEffectiveBatchNorm(C, 0, rngs=RNGS),
        "`TemporalEffectiveBatchNorm(steps=...)` must be at least 1, got 0.",
    ),
    (
        lambda: js.nn.BatchNormThroughTime(C, 2.0),
        "`BatchNormThroughTime(steps=...)` must be an integer, got 2.0. Give an int.",
    ),
    (
        lambda: js.nn.BatchNormThroughTime(0, T),
        "`BatchNormThroughTime(num_features=...)` must be at least 1, got 0.",
    ),
    (
        given(TEBN, ONES[1:]),
        "`TemporalEffectiveBatchNorm(steps=5)(x=...)` must be [5, ...], got the shape (4, 3, "
        "4). Its parameters are for that T.",
    ),
    (
        given(BNTT, jnp.ones((6, N, C))),
        "`BatchNormThroughTime(steps=5)(x=...)` must be [5, ...], got the shape (6, 3, 4). Its "
        "parameters are for that T.",
    ),
    (
        given(BNTT, ONES[0], (N, C)),
        "`BatchNormThroughTime` in training mode must get a whole sequence `[T, N, *]`, got one "
        "step of shape (3, 4). Call `net(state, x_seq)`, or freeze it with `net.eval()`.",
    ),
    (
        given(BNTT, ONES[..., :1]),
        "`BatchNormThroughTime(num_features=4)(x=...)` must be [..., 4], got the shape (5, 3, 1).",
    ),
    (
        lambda: js.nn.NeuNorm((2, 3), k=1.5, rngs=RNGS),
        "`NeuNorm(k=...)` must be between 0 and 1, got 1.5.",
    ),
    (
        lambda: js.nn.NeuNorm(3, rngs=RNGS),
        "`NeuNorm(shape=...)` must be (H, W, C) of a sample, got 3.",
    ),
    (
        given(NEUNORM, jnp.ones((N, 3, C)), (N, 3, C)),
        "`NeuNorm((2, 4))(x=...)` must be [N, 2, 4], got the shape (3, 3, 4).",
    ),
    (
        lambda: js.nn.SpikingLSTM(C, 0, rngs=RNGS),
        "`SpikingLSTM(features=...)` must be at least 1, got 0.",
    ),
    (
        lambda: js.nn.SpikingGRU(C, 2, candidate_surrogate="ATan", rngs=RNGS),
        "`SpikingGRU(candidate_surrogate=...)` must be a Surrogate, got 'ATan'. Give one of "
        "`jaxspike.surrogate`, such as `ATan()`.",
    ),
    (
        given(LSTM, ONES[..., :3]),
        "`SpikingLSTM(in_features=4)(x=...)` must be [..., 4], got the shape (3, 3).",
    ),
    (
        lambda: js.nn.Bidirectional(js.IF(), 3),
        "`Bidirectional(backward=...)` must be a layer with state, got 3. Give a neuron or a "
        "SpikingModule.",
    ),
    (
        given(js.nn.Bidirectional(js.IF(), js.IF()), ONES[0], (N, C)),
        "`Bidirectional` must get a whole sequence `[T, N, *]`, got one step of shape (3, 4). "
        "Call `net(state, x_seq)`.",
    ),
    (
        lambda: js.nn.Recurrent(js.IF(), lambda y: y, combine="add"),
        "`Recurrent(combine=...)` must be a function of x and the feedback, got 'add'. Give "
        "`operator.add`.",
    ),
    (
        given(js.nn.Recurrent(js.IF(), lambda y: y, combine=lambda x, y: x[..., :1]), ONES),
        "`Recurrent(combine=...)(x, feedback(y))` must be [3, 4], got the shape (3, 1).",
    ),
    (
        lambda: js.nn.TemporalWiseAttention(T, rngs=RNGS),
        "`TemporalWiseAttention(reduction=...)` must be from 1 to 5, got 16.",
    ),
    (
        given(TWA, ONES[1:]),
        "`TemporalWiseAttention(steps=5)(x=...)` must be [5, ...], got the shape (4, 3, 4). "
        "Its parameters are for that T.",
    ),
    (
        given(TWA, ONES[0], (N, C)),
        "`TemporalWiseAttention` must get a whole sequence `[T, N, *]`, got one step of shape "
        "(3, 4). Call `net(state, x_seq)`.",
    ),
    (
        lambda: js.nn.MultiDimensionalAttention(T, C, 2, 5, rngs=RNGS),
        "`MultiDimensionalAttention(reduction_c=...)` must be from 1 to 4, got 5.",
    ),
    (
        lambda: js.nn.MultiDimensionalAttention(T, C, 2, 2, 4, rngs=RNGS),
        "`MultiDimensionalAttention(kernel_size=...)` must be odd, got 4.",
    ),
    (
        lambda: js.nn.MultiDimensionalAttention(
            T, C, use_temporal=False, use_channel=False, use_spatial=False, rngs=RNGS
        ),
        "`MultiDimensionalAttention(use_temporal=..., ...)` must be True for one, got all False.",
    ),
    (
        given(MDA, ONES),
        "`MultiDimensionalAttention(channels=4)(x=...)` must be [T, N, H, W, 4], got the shape "
        "(5, 3, 4).",
    ),
    (
        lambda: js.nn.SpikingSelfAttention(8, 3, rngs=RNGS),
        "`SpikingSelfAttention(num_heads=...)` must divide the features, got 3 for 8.",
    ),
    (
        lambda: js.nn.TokenQKAttention(8, 3, rngs=RNGS),
        "`TokenQKAttention(num_heads=...)` must divide the features, got 3 for 8.",
    ),
    (
        lambda: js.nn.ChannelQKAttention(0, rngs=RNGS),
        "`ChannelQKAttention(features=...)` must be at least 1, got 0.",
    ),
    (
        lambda: js.nn.SpikeDrivenSelfAttention(8, attention_neuron=0.5, rngs=RNGS),
        "`SpikeDrivenSelfAttention(attention_neuron=...)` must be a neuron or a layer of neurons, "
        "got 0.5. Give an instance, such as `jaxspike.LIF()`.",
    ),
    (
        lambda: js.nn.SpikingSelfAttention(8, 2, neuron=js.LIF, rngs=RNGS),
        "`SpikingSelfAttention(neuron=...)` must be a neuron or a layer of neurons, got <class "
        "'jaxspike.neurons.lif.LIF'>. Give an instance, such as `jaxspike.LIF()`.",
    ),
    (
        lambda: SSA.init_state((N, 6, C)),
        "`SpikingSelfAttention(features=8)(x=...)` must be [..., 8], got the shape (3, 6, 4).",
    ),
    (
        lambda: js.nn.DropConnectLinear(C, 2, rate=1.0, rngs=RNGS),
        "`DropConnectLinear(rate=...)` must be at least 0 and less than 1, got 1.0.",
    ),
    (
        given(DROP, ONES[0], (N, C)),
        "`DropConnectLinear` in training mode must get a whole sequence `[T, N, *]`, got one "
        "step of shape (3, 4). Call `net(state, x_seq)`, or freeze it with `net.eval()`.",
    ),
    (
        lambda: js.nn.Dropout(0.5, broadcast_dims=(1, 2), rngs=RNGS),
        "`Dropout(broadcast_dims=...)` must be negative integers, got (1, 2). Count axes from the "
        "end: (-3, -2) for `[H, W, C]`.",
    ),
    (
        given(js.nn.Dropout(0.5, broadcast_dims=(-3,), rngs=RNGS), ONES),
        "`Dropout(broadcast_dims=...)` for steps of shape (3, 4) must be from -2 to -1, got -3.",
    ),
    (
        lambda: js.nn.Upsample((2, 0)),
        "`Upsample(factor=...)` must be positive integers, got (2, 0). "
        "Give one per spatial axis, as in (2, 2).",
    ),
    (
        lambda: js.nn.Upsample((2, 2), "cubic"),
        "`Upsample(method=...)` must be one of ('nearest', 'linear'), got 'cubic'.",
    ),
    (
        lambda: js.nn.MaxPool((2, 2), padding=1),
        '`MaxPool(padding=...)` must be "VALID", "SAME" or a pair (before, after) for each spatial '
        "axis, got 1. Give ((1, 1), (1, 1)) for images.",
    ),
    (
        lambda: js.nn.AvgPool((2, 2), padding=((1, 1),)),
        '`AvgPool(padding=...)` must be "VALID", "SAME" or a pair (before, after) for each spatial '
        "axis, got ((1, 1),). Give ((1, 1), (1, 1)) for images.",
    ),
    (
        lambda: js.nn.MaxPool((2, 2), padding=((0, 2), (1, 1))),
        "`MaxPool(padding=...)` must be smaller than the window (2, 2), got ((0, 2), (1, 1)).",
    ),
    (
        lambda: js.nn.AvgPool((2, 2), ceil_mode=1),
        "`AvgPool(ceil_mode=...)` must be one of (False, True), got 1.",
    ),
    (
        lambda: js.nn.AdaptiveAvgPool(1),
        "`AdaptiveAvgPool(size=...)` must be positive integers, got 1. "
        "Give one per spatial axis, as in (2, 2).",
    ),
    (
        lambda: js.nn.AdaptiveAvgPool((1, 1))(ONES[0]),
        "`AdaptiveAvgPool(size=(1, 1))(x=...)` must be [..., *, *, C], got the shape (3, 4). "
        "Pool before `Flatten`, and give one entry for each spatial axis.",
    ),
    (
        lambda: js.nn.fuse_conv_bn(CONV),
        "`fuse_conv_bn(net)` must be in evaluation mode, got training. Call `net.eval()`.",
    ),
    (
        lambda: js.nn.fuse_conv_bn(LSTM),
        "`fuse_conv_bn(net)` must have an nnx.Conv or nnx.Linear before an nnx.BatchNorm in a "
        'Sequential, got none. Name them by their paths: `pairs=[("conv1", "norm1")]`.',
    ),
    (
        lambda: js.nn.fuse_conv_bn(LSTM, ["linear_ih"]),
        "`fuse_conv_bn(pairs=...)` must be pairs, got 'linear_ih'. Name them by their paths: "
        '`pairs=[("conv1", "norm1")]`.',
    ),
    (
        lambda: js.nn.fuse_conv_bn(LSTM, [("linear_ih", "linear_hh")]),
        "`fuse_conv_bn(pairs=...)` must name an nnx.BatchNorm, got a Linear at 'linear_hh'.",
    ),
    (
        lambda: js.nn.fuse_conv_bn(LSTM, [("linear_ih.norm", "linear_hh")]),
        "`fuse_conv_bn(pairs=...)` must name an nnx.Conv or nnx.Linear, got nothing at "
        "'linear_ih.norm'.",
    ),
]


@pytest.mark.parametrize(("call", "sentence"), CASES, ids=[str(s)[:40] for _, s in CASES])
def test_refusals(call, sentence):
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    "layer",
    [LSTM, SSA, js.nn.DHLIF(C, 2, rngs=RNGS), js.nn.SpikingS4D(C, 2, rngs=RNGS)],
    ids=lambda layer: type(layer).__name__,
)
def test_complex_input(layer):
    x = jnp.ones((N, 2, 8 if layer is SSA else C))
    x = x if layer is SSA else x[:, 0]
    state = layer.init_state(x.shape)
    with pytest.raises(TypeError) as caught:
        layer(state, x.astype(jnp.complex64))
    sentence = f"`{type(layer).__name__}(x=...)` must be real, got complex64. Give `x.real`."
    assert str(caught.value) == sentence
