"""The transformers and their attention layers give SpikingJelly's recorded numbers."""

from functools import partial

import golden_files
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxspike as js

GOLDEN, INFO = golden_files.load("spikingjelly_transformers.npz")
QUICKLY = {"xla_backend_optimization_level": 0}  # each program runs once
CASES = {
    "token": lambda rngs: js.nn.TokenQKAttention(8, 2, rngs=rngs),
    "channel": lambda rngs: js.nn.ChannelQKAttention(8, rngs=rngs),
    "sdsa": lambda rngs: js.nn.SpikeDrivenSelfAttention(8, rngs=rngs),
    "spikformer": lambda rngs: js.models.spikformer(
        5, 2, dim=16, depth=1, num_heads=2, patch_size=4, mlp_ratio=2.0, rngs=rngs
    ),
    "spike_driven_transformer": lambda rngs: js.models.spike_driven_transformer(
        5, 2, dim=16, depth=1, pools=(False, False, True, True), mlp_ratio=1, rngs=rngs
    ),
    "qkformer": lambda rngs: js.models.qkformer(
        5, 2, dim=32, depths=(1, 1, 1), num_heads=(1, 2, 2), mlp_ratio=2.0, rngs=rngs
    ),
    "qkformer_channel": lambda rngs: js.models.qkformer(
        5,
        2,
        dim=32,
        depths=(1, 1, 1),
        num_heads=(1, 2, 2),
        attention="channel",
        mlp_ratio=2.0,
        rngs=rngs,
    ),
    "maxformer": lambda rngs: js.models.maxformer(
        5, 2, dim=32, depths=(1, 1, 1), num_heads=1, mlp_ratio=2.0, rngs=rngs
    ),
    "maxformer_small": lambda rngs: js.models.maxformer(
        5, 2, dim=32, depths=(1, 1, 1), num_heads=8, small_images=True, mlp_ratio=2.0, rngs=rngs
    ),
}


def recorded(case, kind=""):
    start = f"{case}|{kind}|" if kind else f"{case}|"
    return {k.removeprefix(start): v for k, v in GOLDEN.items() if k.startswith(start)}


def input_of(case):
    name, shape = f"{case}{INFO['seed'][case]}:x", INFO["x"][case]
    x = np.moveaxis(golden_files.uniform(name, shape, 0.0, 1.5), 2, -1)
    return x.reshape(*x.shape[:2], -1, 8) if case == "sdsa" else x  # tokens


def loaded(case):
    """The network with SpikingJelly's state dict, in evaluation mode."""
    name = f"{case}{INFO['seed'][case]}"
    source = golden_files.state_dict(name, INFO["shapes"][case], *INFO["biases"][case])
    net = nnx.eval_shape(lambda: CASES[case](nnx.Rngs(0)))
    nnx.update(net, draw(case))
    net.eval()
    return js.convert.from_torch(net, source | recorded(case, "stat"), input_of(case).shape[1:])


@partial(jax.jit, static_argnums=0, compiler_options=QUICKLY)
def draw(case):
    """The variables of a network, drawn in one program because that is faster."""
    return nnx.state(CASES[case](nnx.Rngs(0)))


def output_of(case, y):
    """The output as SpikingJelly gives it: averaged over time, or of images."""
    want = GOLDEN[f"{case}|y"]
    return y.mean(0) if want.ndim < y.ndim else y.reshape(want.shape)


def quick(*cases):
    """All cases, of which only ``cases`` run in the fast tests."""
    slow = pytest.mark.slow
    return [case if case in cases else pytest.param(case, marks=slow) for case in CASES]


@pytest.mark.parametrize("case", quick("token", "channel", "sdsa"))
def test_spikes_and_outputs_in_evaluation(case):
    net, x = loaded(case), jnp.asarray(input_of(case))
    state = net.init_state(x.shape[1:])

    graph, variables = nnx.split(net)

    @partial(jax.jit, static_argnums=0, compiler_options=QUICKLY)
    def run(graph, variables, x):
        net = nnx.merge(graph, variables, copy=True)
        return js.debug.record(net, state, x), js.scan(net, state, x, order="step")[1]

    (_, y, seen), by_step = run(graph, variables, x)
    golden_files.assert_close(output_of(case, y), GOLDEN[f"{case}|y"])
    np.testing.assert_allclose(by_step, y, rtol=1e-5, atol=1e-6)
    want = {k: v for k, v in recorded(case).items() if v.dtype == np.uint8}
    assert want.keys() == seen.keys()
    for name, spikes in want.items():
        got = np.asarray(seen[name]["output"]).astype(bool)
        np.testing.assert_array_equal(np.packbits(got), spikes, name)
        assert got.any()
    fused = js.nn.fuse_conv_bn(net)
    assert not any(isinstance(m, nnx.BatchNorm) for _, m in nnx.iter_modules(fused))
    graph, variables = nnx.split(fused)
    (_, y_fused, seen_fused), _ = run(graph, variables, x)
    np.testing.assert_allclose(y_fused, y, rtol=1e-4, atol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, seen_fused, seen)


@pytest.mark.parametrize("case", quick("sdsa"))
def test_gradients_in_training(case):
    net, x = loaded(case), jnp.asarray(input_of(case))
    net.train()
    graph, params, others = nnx.split(net, nnx.Param, ...)
    y_want = GOLDEN[f"{case}|train"]
    r = golden_files.uniform(f"{case}:r", y_want.shape, -1.0, 1.0)

    @partial(jax.jit, compiler_options=QUICKLY)
    def run(params, x):
        def loss(params, x):
            net = nnx.merge(graph, params, others, copy=True)
            _, y = net(net.init_state(x.shape[1:]), x)
            y = output_of(case, y)
            return (y * r).sum(), y

        return jax.grad(loss, (0, 1), has_aux=True)(params, x)

    (grads, grad_x), y = run(params, x)
    golden_files.assert_close(y, y_want)
    found = js.convert.to_torch(nnx.merge(graph, grads, others), x.shape[1:])
    found["x"] = grad_x
    for name, want in recorded(case, "grad").items():
        got = found[alias(name)].reshape(want.shape)
        error = np.abs(got - want).max() / np.abs(want).max()
        assert error <= 1e-5, (name, error)


def alias(name):
    """The name here of a parameter of SpikingJelly: a container less."""
    return name.replace(".block.", ".")


def test_the_meter_sees_that_all_that_enters_a_linear_layer_is_spikes():
    net, x = loaded("sdsa"), jnp.asarray(input_of("sdsa"))
    state = net.init_state(x.shape[1:])
    report = js.cost.operations(net, state, x)
    _, _, seen = js.debug.record(net, state, x)
    q, a = (np.asarray(seen[name]["output"]) for name in ("q_lif", "attn_lif"))
    want = {f"{part}_conv.kernel": 8 * seen["shortcut_lif"]["output"].sum() for part in "qkv"}
    want["proj_conv.kernel"] = 8 * (q * a[..., None, :]).sum()
    assert {row.name: row.ac for row in report.rows()} == want
    assert all(row.mac == row.multi == 0 for row in report.rows())


@pytest.mark.parametrize(
    ("net", "arguments", "error"),
    [
        ("spikformer", {"dim": 20}, "`spikformer(dim=...)` must be a multiple of 8, got 20."),
        (
            "spikformer",
            {"patch_size": 8},
            "`spikformer(patch_size=...)` must be one of (4, 16), got 8.",
        ),
        (
            "spike_driven_transformer",
            {"pools": (True, False)},
            "`spike_driven_transformer(pools=...)` must be four of True or False, got "
            "(True, False).",
        ),
        (
            "qkformer",
            {"depths": 2},
            "`qkformer(depths=...)` must be three, one for each stage, got 2.",
        ),
        (
            "qkformer",
            {"attention": "row"},
            "`qkformer(attention=...)` must be one of ('token', 'channel'), got 'row'.",
        ),
        (
            "maxformer",
            {"depths": (1, 0, 1)},
            "`maxformer(depths=...)` must be at least 1, got 0.",
        ),
        (
            "maxformer",
            {"mlp_ratio": 0.0},
            "`maxformer(mlp_ratio=...)` must be greater than 0, got 0.0.",
        ),
    ],
)
def test_errors(net, arguments, error):
    with pytest.raises(ValueError) as caught:
        getattr(js.models, net)(**{"dim": 8} | arguments, rngs=nnx.Rngs(0))
    assert str(caught.value) == error
