"""The order of features changes behind a flattened image, and nowhere else."""

import golden_files
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxspike as js

ARRAYS, _ = golden_files.load("spikingjelly_spikformer.npz")
PREFIX = "spikformer/"
SPIKFORMER = {k.removeprefix(PREFIX): v for k, v in ARRAYS.items() if k.startswith(PREFIX)}


def linear(n, out, bias=False):
    return nnx.Linear(n, out, use_bias=bias, kernel_init=nnx.initializers.zeros, rngs=nnx.Rngs(0))


def conv(n, out, size=3):
    zeros = nnx.initializers.zeros
    return nnx.Conv(n, out, (size, size), use_bias=False, kernel_init=zeros, rngs=nnx.Rngs(0))


def norm(n):
    return nnx.BatchNorm(n, use_running_average=True, rngs=nnx.Rngs(0))


def lif(v_threshold=1.0):
    return js.LIF(tau=2.0, v_threshold=v_threshold, detach_reset=True)


def max_pool(x):
    y = nnx.max_pool(x.reshape(-1, *x.shape[-3:]), (3, 3), (2, 2), ((1, 1), (1, 1)))
    return y.reshape(*x.shape[:-3], *y.shape[1:])


def conv_bn(n, out, pool):
    layers = [conv(n, out), norm(out)]
    if pool:
        layers.append(max_pool)
    return js.nn.Sequential(nnx.Sequential(*layers), lif())


class Attention(js.nn.SpikingModule):
    """Attention as one writes it: heads are split off, and merged again."""

    def __init__(self, c, heads):
        self.qkv_conv_bn = js.nn.Sequential(linear(c, 3 * c), norm(3 * c), lif())
        self.attention = lif(0.5)
        self.proj_conv_bn = js.nn.Sequential(linear(c, c), norm(c), lif())
        self.heads = heads

    def __call__(self, state, x):
        qkv, y = self.qkv_conv_bn(state["qkv_conv_bn"], x)
        q, k, v = (
            z.reshape(*x.shape[:-1], self.heads, -1).swapaxes(-3, -2)
            for z in jnp.split(y, 3, axis=-1)
        )
        y = 0.125 * (q @ k.swapaxes(-1, -2)) @ v  # [..., heads, L, C / heads]
        attention, y = self.attention(state["attention"], y.swapaxes(-3, -2).reshape(x.shape))
        proj, y = self.proj_conv_bn(state["proj_conv_bn"], y)
        return {"qkv_conv_bn": qkv, "attention": attention, "proj_conv_bn": proj}, y


class Block(js.nn.SpikingModule):
    def __init__(self, attn):
        self.attn = attn
        self.fc1 = js.nn.Sequential(linear(16, 32), norm(32), lif())
        self.fc2 = js.nn.Sequential(linear(32, 16), norm(16), lif())

    def __call__(self, state, x):
        y = x.reshape(*x.shape[:-3], -1, x.shape[-1])
        attn, z = self.attn(state["attn"], y)
        y = y + z
        fc1, z = self.fc1(state["fc1"], y)
        fc2, z = self.fc2(state["fc2"], z)
        return {"attn": attn, "fc1": fc1, "fc2": fc2}, (y + z).reshape(x.shape)


class Spikformer(js.nn.SpikingModule):
    def __init__(self, attention):
        self.stages = js.nn.Sequential(
            *(conv_bn(*s) for s in ((2, 2, False), (2, 4, False), (4, 8, True), (8, 16, True)))
        )
        self.position = conv_bn(16, 16, False)
        self.blocks = js.nn.Sequential(Block(attention()), Block(attention()))
        self.head = linear(16, 5, bias=True)

    def __call__(self, state, x):
        stages, y = self.stages(state["stages"], x)
        position, z = self.position(state["position"], y)
        blocks, y = self.blocks(state["blocks"], y + z)
        new = {"stages": stages, "position": position, "blocks": blocks}
        return new, self.head(y.mean((-3, -2)))


NAMES = {"patch_embed.stages": "stages", "patch_embed.positional_encoding": "position"} | {
    f"blocks.{i}.mlp.{name}": f"blocks.{i}.{name}" for i in range(2) for name in ("fc1", "fc2")
}


@pytest.mark.parametrize(
    "attention",
    [lambda: Attention(16, 2), lambda: js.nn.SpikingSelfAttention(16, 2, rngs=nnx.Rngs(0))],
    ids=["by hand", "of jaxspike.nn"],
)
def test_heads_that_are_merged_again_keep_their_order(attention):
    """And the kernels of convolutions over one token, `[O, I, 1]`, are those of linear layers."""
    xs = np.moveaxis(ARRAYS["spikformer:x"], 2, -1)
    net = Spikformer(attention)
    net.eval()
    net = js.convert.from_torch(net, SPIKFORMER, xs.shape[1:], names=NAMES)
    _, y = nnx.jit(lambda net, xs: net(net.init_state(xs.shape[1:]), xs))(net, xs)
    np.testing.assert_allclose(y, ARRAYS["spikformer:y"], rtol=2e-6, atol=2e-6)


class Net(js.nn.SpikingModule):
    """A network of one function between its layers, which reads the last of them."""

    def __init__(self, between, *layers):
        self.between = between
        self.first, self.last, self.lif = *layers, lif()

    def __call__(self, state, x):
        lif, y = self.lif(state["lif"], self.last(self.between(self.first(x))))
        return {"lif": lif}, y


def reordered(between, first, features, shape):
    """The order in which features come that PyTorch has in the order 0, 1, 2, ..."""
    net = Net(between, first, norm(features))
    source = {
        f"last.{k}": np.arange(float(features))
        for k in ("weight", "bias", "running_mean", "running_var")
    }
    if isinstance(first, nnx.Linear | nnx.Conv):
        source |= {"first.weight": js.convert.to_torch(first)["weight"]}
    return js.convert.from_torch(net, source, shape).last.scale[...].astype(int)


def chw(h, w, c):
    return np.arange(h * w * c).reshape(c, h, w).transpose(1, 2, 0).ravel()


def flat(x):
    return x.reshape(*x.shape[:-3], -1)


IMAGES = {
    "an image": (flat, 4),
    "after a pool": (lambda x: flat(js.nn.MaxPool((1, 1))(x)), 4),
    "after an adaptive pool": (nnx.Sequential(js.nn.AdaptiveAvgPool((3, 3)), flat), 3),
    "after a resize": (nnx.Sequential(js.nn.Upsample((2, 2), method="linear"), flat), 8),
    "after a skip": (lambda x: flat(x + 2 * jnp.tanh(x)), 4),
    "after tokens": (lambda x: flat(x.reshape(*x.shape[:-3], 16, 3).reshape(x.shape)), 4),
    "channels first": (lambda x: flat(jnp.moveaxis(x, -1, -3)), 0),
    "a row": (lambda x: flat(jnp.swapaxes(x, -3, -2)), None),
    "tokens": (lambda x: x.reshape(*x.shape[:-3], 16, 3).reshape(*x.shape[:-3], -1), None),
    "patches": (lambda x: flat(x.reshape(*x.shape[:-3], 4, 2, 2, 3)), None),
    "sorted": (lambda x: jnp.sort(flat(x)), None),
    "reversed": (lambda x: flat(x)[..., ::-1], None),
    "shuffled": (lambda x: flat(x)[..., np.arange(48)[::-1]], None),
    "joined": (lambda x: jnp.concatenate([flat(x)[..., :24], flat(x)[..., 24:]], -1), None),
}


@pytest.mark.parametrize("first", [lambda x: x, conv(3, 3)], ids=["input", "convolution"])
@pytest.mark.parametrize("case", IMAGES)
def test_an_image_that_is_flattened(case, first):
    between, size = IMAGES[case]
    if size is None:
        with pytest.raises(ValueError, match="must name `last`, whose order of features is unkn"):
            reordered(between, first, 48, (2, 4, 4, 3))
        return
    features = 3 * (size or 4) ** 2
    got = reordered(between, first, features, (2, 4, 4, 3))
    np.testing.assert_array_equal(got, chw(size, size, 3) if size else np.arange(features))


ROWS = {
    "features split and merged": (lambda x: x.reshape(2, 2, 6).reshape(2, 12), 12, 0),
    "some of several heads": (lambda x: x.reshape(2, 3, 2, 2)[:, 1].reshape(2, 4), 4, 0),
    "heads in another order": (lambda x: x.reshape(2, 2, 6).swapaxes(1, 2).reshape(2, 12), 12, 1),
    "an image made of features": (lambda x: x.reshape(2, 2, 2, 3), 3, 1),
}


@pytest.mark.parametrize("case", ROWS)
def test_features_that_are_split(case):
    between, features, unknown = ROWS[case]
    if unknown:
        with pytest.raises(ValueError, match="must name `last`, whose order of features is unkn"):
            reordered(between, linear(5, 12), features, (2, 5))
    else:
        got = reordered(between, linear(5, 12), features, (2, 5))
        np.testing.assert_array_equal(got, np.arange(features))


def test_a_decoder_is_refused():
    """The linear layer before it has its outputs in another order in PyTorch."""
    net = Net(lambda x: x.reshape(*x.shape[:-1], 2, 2, 3), linear(5, 12), conv(3, 3))
    unknown = "must name `last`, whose order of features is unknown"
    for channels in ({}, {"last": 3}):
        with pytest.raises(ValueError, match=unknown):
            js.convert.to_torch(net, (2, 5), channels=channels)
    assert js.convert.to_torch(net, (2, 5), channels={"last": 1}).keys() == {
        "first.weight",
        "last.weight",
    }


def test_tokens_of_a_linear_layer_may_be_those_of_a_convolution():
    net = Net(lambda x: x.reshape(*x.shape[:-2], -1), linear(3, 3), linear(12, 4))
    with pytest.raises(ValueError, match="must name `last`, whose order of features is unknown"):
        js.convert.to_torch(net, (2, 4, 3))


def test_without_a_linear_layer_a_shape_is_needed_all_the_same():
    net = js.nn.Sequential(conv(3, 3), js.nn.Flatten(), nnx.LayerNorm(48, rngs=nnx.Rngs(0)), lif())
    with pytest.raises(ValueError, match="`2` may get a flattened image"):
        js.convert.to_torch(net)
    net.layers[2].scale[...] = jnp.arange(48.0)
    weight = js.convert.to_torch(net, (2, 4, 4, 3))["2.weight"]
    np.testing.assert_array_equal(weight[chw(4, 4, 3)], np.arange(48))


def test_what_cannot_flatten_needs_no_shape():
    net = js.nn.Sequential(
        conv(3, 3), norm(3), lif(), js.nn.MaxPool((2, 2)), nnx.Sequential(conv(3, 3), norm(3))
    )
    assert len(js.convert.to_torch(net)) == 12


def test_kernels_of_size_1_are_those_of_linear_layers():
    weight = np.arange(6.0, dtype=np.float32).reshape(3, 2)
    for shape in ((3, 2, 1), (3, 2, 1, 1)):
        net = js.convert.from_torch(linear(2, 3), {"weight": weight.reshape(shape)})
        np.testing.assert_array_equal(net.kernel[...], weight.T)
    net = js.convert.from_torch(conv(2, 3, size=1), {"weight": weight[..., None, None]})
    np.testing.assert_array_equal(net.kernel[0, 0], weight.T)
    with pytest.raises(ValueError, match=r"Left over: weight \(3, 2, 2\)"):
        js.convert.from_torch(linear(2, 3), {"weight": np.zeros((3, 2, 2))})


def test_a_value_per_pixel_is_refused():
    net = js.nn.Spiking(js.LIF(tau=2 * jnp.ones((4, 4, 3))), learn=("tau",))
    with pytest.raises(TypeError, match=r"got a LIF with a value per pixel at `Spiking`\. Use one"):
        js.convert.to_torch(net)
