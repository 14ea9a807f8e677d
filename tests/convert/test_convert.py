"""Networks of PyTorch libraries with their weights spike as they do there, or are refused."""

import re

import golden_files
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxspike as js

SJ, _ = golden_files.load("spikingjelly_networks.npz")
SNNTORCH, _ = golden_files.load("snntorch_networks.npz")
SEEDS, _ = golden_files.load("spikingjelly.npz")


def conv(*args, bias=True, **kwargs):
    """A convolution that costs nothing to make: its weights are loaded."""
    zeros = nnx.initializers.zeros
    return nnx.Conv(*args, **kwargs, use_bias=bias, kernel_init=zeros, rngs=nnx.Rngs(0))


def linear(n=4, out=4, bias=False):
    return nnx.Linear(n, out, use_bias=bias, kernel_init=nnx.initializers.zeros, rngs=nnx.Rngs(0))


def norm(n):
    return nnx.BatchNorm(n, rngs=nnx.Rngs(0))


def weights(arrays, net, sep="/"):
    """The state dict of a network of a golden file."""
    prefix = net + sep
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def channels_last(x, axis=2):
    return np.moveaxis(x, axis, -1) if x.ndim > axis + 1 else x


def run(net, x_seq):
    return nnx.jit(lambda net, xs: net(net.init_state(xs.shape[1:]), xs)[1])(net, x_seq)


def states_equal(a, b):
    a, b = (nnx.state(net, (nnx.Param, nnx.BatchStat)) for net in (a, b))
    return jax.tree.all(jax.tree.map(np.array_equal, a, b))


class Block(js.nn.SpikingModule):
    def __init__(self, c_in, c_out):
        self.conv1 = conv(c_in, c_out, (3, 3), strides=2, padding=1, bias=False)
        self.bn1 = norm(c_out)
        self.sn1 = js.IF()
        self.conv2 = conv(c_out, c_out, (3, 3), padding=1, bias=False)
        self.bn2 = norm(c_out)
        self.sn2 = js.nn.Spiking(js.LIF(v_reset=None), learn=("tau",))
        self.downsample = nnx.Sequential(
            conv(c_in, c_out, (1, 1), strides=2, bias=False), norm(c_out)
        )

    def __call__(self, state, x):
        s1, y = self.sn1(state["sn1"], self.bn1(self.conv1(x)))
        s2, y = self.sn2(state["sn2"], self.bn2(self.conv2(y)))
        return {"sn1": s1, "sn2": s2}, y + self.downsample(x)


class Residual(js.nn.SpikingModule):
    def __init__(self):
        self.stem = nnx.Sequential(conv(3, 4, (3, 3)), norm(4))
        self.sn = js.LIF()
        self.block = Block(4, 6)
        self.fc = linear(6 * 4 * 3, 10, bias=True)
        self.out = js.IF()

    def __call__(self, state, x):
        sn, y = self.sn(state["sn"], self.stem(x))
        block, y = self.block(state["block"], y)
        out, y = self.out(state["out"], self.fc(y.reshape(*y.shape[:-3], -1)))  # by hand
        return {"sn": sn, "block": block, "out": out}, y


def plif():
    def neuron(**fields):
        return js.nn.Spiking(js.LIF(**fields), learn=("tau",))

    return js.nn.Sequential(
        conv(2, 4, (3, 3)),
        norm(4),
        neuron(),
        js.nn.MaxPool((2, 2)),
        conv(4, 6, (3, 3), feature_group_count=2),
        neuron(decay_input=False),
        js.nn.AvgPool((2, 2)),
        js.nn.Flatten(),
        js.nn.Dropout(0.5, rngs=nnx.Rngs(0)),
        linear(6 * 2 * 3, 16),
        neuron(),
        linear(16, 10, bias=True),
        neuron(),
    )


def dense():
    key = jax.random.key(0)
    gates = ("alpha", "beta", "gamma", "tau", "v_threshold", "linear_decay", "v_subreset")
    return js.nn.Sequential(
        linear(12, 20, bias=True),
        js.nn.Spiking(js.KLIF(), learn=("k",)),
        js.nn.Spiking(js.SynapseFilter(), learn=("tau",)),
        linear(20, 20, bias=True),
        js.PSN.init(4, key=key),
        linear(20, 20, bias=True),
        js.MaskedPSN.init(2, 4, key=key),
        linear(20, 20, bias=True),
        js.SlidingPSN.init(3),
        linear(20, 20, bias=True),
        js.nn.Spiking(js.GatedLIF(), learn=(*gates, "conduct")),
        linear(20, 10, bias=True),
        js.LIF(tau=1.5),
    )


@pytest.mark.parametrize("make", [Residual, plif, dense], ids=lambda f: f.__name__.lower())
def test_spikingjelly(make):
    name = make.__name__.lower()
    net, source = make(), weights(SJ, name)
    before = nnx.clone(net)
    x_seq = channels_last(SJ[f"{name}:x"])
    shape = x_seq.shape[1:]
    new = js.convert.from_torch(net, source, shape)
    assert states_equal(net, before)
    new.eval()
    np.testing.assert_array_equal(run(new, x_seq), SJ[f"{name}:y"])
    there = js.convert.to_torch(new, shape)
    back = js.convert.to_torch(js.convert.from_torch(net, there, shape), shape)
    assert back.keys() == there.keys()
    if make is Residual:  # the same names: what PyTorch would load
        assert back.keys() == source.keys()
        assert {k: v.shape for k, v in back.items()} == {k: v.shape for k, v in source.items()}
        for k in source.keys() - {k for k in source if k.endswith("tracked")}:
            np.testing.assert_allclose(back[k], source[k], rtol=1e-6)


def seeds_net():
    return js.nn.Sequential(
        conv(3, 4, (3, 3)),
        js.IF(),
        js.nn.MaxPool((2, 2)),
        js.IF(v_threshold=1.5, v_reset=None),
        js.nn.Flatten(),
        linear(4 * 4 * 4, 10, bias=True),
        js.IF(),
    )


SEEDS_SHAPE = (1, 8, 8, 3)
SEEDS_WEIGHTS = {k: SEEDS[f"net_{k}"] for k in ("0.weight", "0.bias", "5.weight", "5.bias")}


@pytest.fixture(scope="module")
def loaded():
    return js.convert.from_torch(seeds_net(), SEEDS_WEIGHTS, SEEDS_SHAPE)


def test_the_conv_net_of_the_seeds(loaded):
    y = run(loaded, channels_last(SEEDS["net_x"]))
    np.testing.assert_array_equal(y, SEEDS["net_spikes_2"])


@pytest.mark.parametrize(
    "rename",
    [
        lambda k: f"module.{k}",
        lambda k: k.replace("0.", "0.0.").replace("5.", "3.1."),  # SeqToANNContainers
        lambda k: k.replace("0.", "conv.").replace("5.", "fc."),
        lambda k: k.replace("0.", "features.2.").replace("5.", "classifier.1."),
    ],
)
def test_names_of_containers(loaded, rename):
    source = {rename(k): jnp.asarray(v) for k, v in reversed(SEEDS_WEIGHTS.items())}
    assert states_equal(js.convert.from_torch(seeds_net(), source, SEEDS_SHAPE), loaded)


def test_the_inverse(loaded):
    back = js.convert.to_torch(loaded, SEEDS_SHAPE)
    assert back.keys() == SEEDS_WEIGHTS.keys()
    for key, value in SEEDS_WEIGHTS.items():
        np.testing.assert_array_equal(back[key], value)


def test_the_arrays_of_the_inverse_can_be_written_as_they_are():
    net = js.nn.Sequential(conv(3, 4, (3, 3)), linear(4, 2), js.nn.Spiking(js.LIF(), learn="tau"))
    arrays = js.convert.to_torch(net)
    assert all(a.flags["C_CONTIGUOUS"] for a in arrays.values())
    assert arrays["2.w"].shape == ()


def transposed(**kwargs):
    return nnx.Sequential(
        nnx.ConvTranspose(3, 5, (2, 3), padding="VALID", rngs=nnx.Rngs(0), **kwargs)
    )


LAYERS = {
    "conv1d": lambda: nnx.Sequential(
        conv(4, 6, (3,), feature_group_count=2), js.nn.Flatten(2), linear(42, 5, bias=True)
    ),
    "conv3d": lambda: nnx.Sequential(conv(2, 3, (1, 2, 3), padding="VALID")),
    "transposed": transposed,
    "transposed kernel": lambda: transposed(transpose_kernel=True),
    "norms": lambda: nnx.Sequential(
        nnx.GroupNorm(4, num_groups=2, epsilon=1e-5, rngs=nnx.Rngs(0)),
        js.nn.Flatten(),
        nnx.LayerNorm(36, epsilon=1e-5, rngs=nnx.Rngs(0)),
        linear(36, 3, bias=True),
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name):
    net, name = LAYERS[name](), name.split()[0]
    x = channels_last(SJ[f"{name}:x"], 1)
    net = js.convert.from_torch(net, weights(SJ, name), x.shape)
    y = nnx.jit(lambda net, x: net(x))(net, x)
    np.testing.assert_allclose(y, channels_last(SJ[f"{name}:y"], 1), atol=2e-6)
    for key, value in js.convert.to_torch(net, x.shape).items():
        np.testing.assert_array_equal(value, SJ[f"{name}/{key}"])


# snnTorch


class TwoLayers(js.nn.SpikingModule):
    def __init__(self, lif1, lif2):
        self.fc1, self.lif1 = linear(8, 16, bias=True), lif1
        self.fc2, self.lif2 = linear(16, 5), lif2

    def __call__(self, state, x):
        s1, y = self.lif1(state["lif1"], self.fc1(x))
        s2, y = self.lif2(state["lif2"], self.fc2(y))
        return {"lif1": s1, "lif2": s2}, y


def immediate(tau=10.0, **fields):
    second = js.LIF(jnp.full(5, 2.0), v_threshold=jnp.ones(5), decay_input=False, **fields)
    return TwoLayers(
        js.LIF(tau=tau, decay_input=False), js.nn.Spiking(second, learn=("tau", "v_threshold"))
    )


def synaptic():
    return TwoLayers(
        js.CubaLIF(0.7, v_decay=0.8, v_threshold=1.0, v_reset=None),
        js.CubaLIF(0.5, v_decay=0.9, v_threshold=1.0, v_reset=0.0),
    )


@pytest.mark.parametrize("make", [immediate, synaptic])
def test_snntorch(make):
    net = js.convert.from_torch(make(), weights(SNNTORCH, make.__name__), (1, 8))
    y = run(net, SNNTORCH[f"{make.__name__}:x"])
    np.testing.assert_array_equal(y, SNNTORCH[f"{make.__name__}:y"])


def test_snntorch_with_the_reset_one_step_late():
    learned = js.nn.Spiking(js.presets.snntorch.leaky(0.5, 0.9), learn=("v_decay",))
    net = TwoLayers(js.presets.snntorch.leaky(0.9), learned)
    net = js.convert.from_torch(net, weights(SNNTORCH, "delayed"), (1, 8))
    y = run(net, SNNTORCH["delayed:x"])
    np.testing.assert_array_equal(y, SNNTORCH["delayed:y"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: immediate(tau=5.0),
            "`lif1.tau` must be 10, as in training, got 5. Use that value.",
        ),
        (
            lambda: immediate(v_reset=None),
            "The reset of `lif2` (0: subtract, 1: to zero, 2: none) must be 1, as in "
            "training, got 0. Use that value.",
        ),
        (
            lambda: immediate(v_rest=0.5),
            "The reset of `lif2` (0: subtract, 1: to zero, 2: none) must be 1, as in training, "
            "got nan. Use that value.",
        ),
    ],
)
def test_snntorch_constants_are_checked(make, message):
    with pytest.raises(ValueError, match=exactly(message)):
        js.convert.from_torch(make(), weights(SNNTORCH, "immediate"), (1, 8))


def test_snntorch_neurons_without_a_counterpart():
    message = (
        "`from_torch(net=...)` must have a counterpart in snnTorch, got a LIF at "
        "`lif1`. Use IF, LIF(decay_input=False) or CubaLIF."
    )
    with pytest.raises(TypeError, match=exactly(message)):
        js.convert.from_torch(TwoLayers(js.LIF(), js.IF()), weights(SNNTORCH, "immediate"), (1, 8))


# files


def test_safetensors(tmp_path, loaded):
    save_file = pytest.importorskip("safetensors.numpy").save_file
    save_file({k: v.copy() for k, v in SEEDS_WEIGHTS.items()}, tmp_path / "net.safetensors")
    net = js.convert.from_torch(seeds_net(), tmp_path / "net.safetensors", SEEDS_SHAPE)
    assert states_equal(net, loaded)


class Tensor:
    """The part of a PyTorch tensor that is used."""

    def __init__(self, value, dtype="torch.float32"):
        self.value, self.dtype = value, dtype

    def detach(self):
        return self

    def cpu(self):
        return self

    def float(self):
        return Tensor(self.value)

    def __array__(self, dtype=None, copy=None):
        if self.dtype == "torch.bfloat16":
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self.value


@pytest.mark.parametrize("dtype", ["torch.float32", "torch.bfloat16"])
def test_tensors(loaded, dtype):
    source = {k: Tensor(v, dtype) for k, v in SEEDS_WEIGHTS.items()}
    assert states_equal(js.convert.from_torch(seeds_net(), source, SEEDS_SHAPE), loaded)


# errors


def exactly(message):
    return f"^{re.escape(message)}$"


def two():
    return js.nn.Sequential(linear(), js.IF(), linear())


W = np.ones((4, 4), np.float32)
MAKE = (
    "Use the same layers, and `Spiking(neuron, learn=...)` if it learned; if only names differ, "
    "give `names={there: here}`."
)
ERRORS = [
    (
        lambda: js.convert.from_torch(two(), {"0.weight": W, "2.weight": W, "3.w": W[0, 0]}),
        ValueError,
        "`from_torch` must find exactly one array for each of the network. Missing: none. "
        f"Left over: 3.w (). {MAKE}",
    ),
    (
        lambda: js.convert.from_torch(two(), {"0.weight": W, "2.weight": W[:3], "2.bias": W[0]}),
        ValueError,
        "`from_torch` must find exactly one array for each of the network. "
        f"Missing: 2.weight (4, 4). Left over: 2.weight (3, 4), 2.bias (4,). {MAKE}",
    ),
    (
        lambda: js.convert.from_torch(
            js.nn.Residual(two(), two()), {f"branch.{i}.weight": W for i in (0, 2)}, (1, 4)
        ),
        ValueError,
        "`from_torch` must find exactly one array for each of the network. Missing: "
        f"shortcut.0.weight (4, 4), shortcut.2.weight (4, 4). Left over: none. {MAKE}",
    ),
    (
        lambda: js.convert.from_torch(two(), {"enc.weight": W, "dec.weight": W}),
        ValueError,
        "`from_torch(names=...)` must pair enc, dec with 0, 2, which have the same "
        "shapes. Give `names={'enc': '0', ...}`.",
    ),
    (
        lambda: js.convert.from_torch(two(), {"enc.weight": W}, names={"encoder": "0"}),
        ValueError,
        "`from_torch(names={'encoder': '0'})` must name a layer or container on either "
        "side, got no array under 'encoder'.",
    ),
    (
        lambda: js.convert.from_torch(two(), {}, channels={"layers.0": 3}),
        ValueError,
        "`from_torch(channels=...)` must name layers by their path, got 'layers.0'.",
    ),
    (
        lambda: js.convert.from_torch(two(), "net.pt"),
        ValueError,
        "`from_torch(source=...)` must be a .safetensors file, got 'net.pt'. A pickle, which "
        "can run arbitrary code, is not opened here. Convert it with PyTorch: "
        "`safetensors.torch.save_file(torch.load(path, weights_only=True), new)`.",
    ),
    (
        lambda: js.convert.from_torch(two(), {"state_dict": {"0.weight": W}}),
        TypeError,
        "`from_torch(source=...)` must hold real arrays, got a dict as 'state_dict'. Give the "
        "state dict alone: of a checkpoint that may be `source['state_dict']`.",
    ),
    (
        lambda: js.convert.from_torch(two(), [W, W]),
        TypeError,
        "`from_torch(source=...)` must be a state dict or the path of a .safetensors file, got a "
        "list. Give `net.state_dict()`.",
    ),
    (
        lambda: js.convert.from_torch(
            js.nn.Sequential(js.nn.Flatten(), linear(), js.IF()), {"1.weight": W}
        ),
        ValueError,
        "`from_torch(shape=...)` must be the shape that `init_state` gets, got None, and `1` may "
        "get a flattened image: PyTorch flattens C, H, W and Flax H, W, C.",
    ),
    (
        lambda: js.convert.to_torch(nnx.LinearGeneral(4, 4, rngs=nnx.Rngs(0))),
        TypeError,
        "`to_torch(net=...)` must have a counterpart in PyTorch, got a LinearGeneral with "
        "['bias', 'kernel'] at `LinearGeneral`. Use nnx.Linear, Conv, ConvTranspose, Embed or one "
        "of its normalizations.",
    ),
    (
        lambda: js.convert.to_torch(js.nn.Spiking(js.LIF(), learn=("v_threshold",))),
        TypeError,
        "`to_torch(net=...)` must have a counterpart in SpikingJelly, got a LIF with "
        "learn=('v_threshold',) at `Spiking`. It learns tau of LIF and SynapseFilter, k of KLIF, "
        "and all of GatedLIF.",
    ),
    (
        lambda: js.convert.from_torch(
            js.nn.Spiking(js.KLIF(), learn=("k",)), {"k": np.array(-1.0)}
        ),
        ValueError,
        "`from_torch(source=...)` must be greater than 0 for `Spiking.k`, got -1.0.",
    ),
    (
        lambda: js.convert.from_torch(
            js.nn.Sequential(), {"0.conduct": np.arange(4.0), "0.linear_decay": W[0, 0]}
        ),
        ValueError,
        "`from_torch(source=...)` must have one value for all steps, got a `0.conduct` that "
        "changes.",
    ),
    (
        lambda: js.convert.from_ann(two(), nnx.Sequential(linear(), nnx.relu, linear(), linear())),
        ValueError,
        "`from_ann` must find exactly one array for each of the network. "
        f"Missing: none. Left over: 3.kernel (4, 4). {MAKE}",
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), ERRORS)
def test_errors(call, kind, message):
    with pytest.raises(kind, match=exactly(message)):
        call()


def test_what_the_network_does_not_hold_is_refused():
    """NaN, and numbers that are infinite in the dtype of the network."""
    half = nnx.Linear(4, 4, use_bias=False, param_dtype=jnp.float16, rngs=nnx.Rngs(0))
    for value, net, dtype in (
        (np.nan, linear(), "float32"),
        (np.inf, linear(), "float32"),
        (-1e300, linear(), "float32"),
        (70000.0, half, "float16"),
    ):
        weight = np.where(np.eye(4) == 1, value, 1.0)
        must = f"`from_torch` must load numbers that {dtype} holds, got {value} for `weight`."
        with pytest.raises(ValueError, match=exactly(must)):
            js.convert.from_torch(net, {"weight": weight})
    js.convert.from_torch(linear(), {"weight": np.full((4, 4), 3e38)})
    ann = linear()
    ann.kernel[...] = jnp.full((4, 4), jnp.nan)
    with pytest.raises(
        ValueError, match=r"`from_ann` must load numbers that float32 holds, got nan"
    ):
        js.convert.from_ann(linear(), ann)


def test_damaged_safetensors(tmp_path):
    numpy = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "net.safetensors"
    missing = f"`from_torch(source=...)` must be an existing file, got {str(path)!r}."
    with pytest.raises(FileNotFoundError, match=exactly(missing)):
        js.convert.from_torch(linear(), path)
    numpy.save_file({"weight": W}, path)
    content = path.read_bytes()
    net = js.convert.from_torch(linear(), path)
    np.testing.assert_array_equal(net.kernel[...], W.T)
    rng = np.random.default_rng(0)
    damaged = [content[:n] for n in range(0, len(content), 9)]
    damaged += [content.replace(b"F32", b"F99"), content.replace(b"F32", b"F4 ")]
    damaged += [(2**60).to_bytes(8, "little") + content[8:]]
    header = 8 + int.from_bytes(content[:8], "little")
    for at, value in zip(rng.integers(0, header, 100), rng.integers(0, 256, 100), strict=True):
        damaged.append(content[:at] + bytes([value]) + content[at + 1 :])
    n_refused = 0
    for bytes_ in damaged:
        path.write_bytes(bytes_)
        try:
            js.convert.from_torch(linear(), path)
        except ValueError as e:
            assert str(e).startswith("`from_torch")
            n_refused += 1
    assert n_refused > 90


def test_names_and_channels_answer_the_errors():
    source = {"enc.weight": W, "dec.weight": 2 * W}
    net = js.convert.from_torch(two(), source, names={"enc": "2", "dec": "0"})
    assert net.layers[0].kernel[0, 0] == 2
    images = js.nn.Sequential(js.nn.Flatten(), linear(8), js.IF())
    source = {"1.weight": np.arange(32.0).reshape(4, 8)}
    by_hand = js.convert.from_torch(images, source, channels={"1": 2})
    assert states_equal(by_hand, js.convert.from_torch(images, source, (1, 2, 2, 2)))
    np.testing.assert_array_equal(by_hand.layers[1].kernel[:, 0], [0, 4, 1, 5, 2, 6, 3, 7])


@pytest.mark.parametrize(
    "layer", [lambda: norm(8), lambda: js.nn.Spiking(js.LIF(tau=jnp.arange(2.0, 10)), learn="tau")]
)
def test_channels_of_a_linear_alone_do_not_order_the_layers_before_it(layer):
    net = js.nn.Sequential(js.nn.Flatten(), layer(), linear(8))
    with pytest.raises(ValueError, match="and `1` may get a flattened image"):
        js.convert.to_torch(net, channels={"2": 2})
    by_hand = js.convert.to_torch(net, channels={"1": 2, "2": 2})
    traced = js.convert.to_torch(net, (1, 2, 2, 2))
    assert by_hand.keys() == traced.keys()
    assert all(np.array_equal(by_hand[name], traced[name]) for name in traced)


def test_a_shape_orders_the_features_without_a_linear():
    net = js.nn.Sequential(js.nn.Flatten(), norm(8))
    net.layers[1].scale.set_value(jnp.arange(8.0))
    scale = js.convert.to_torch(net, (1, 2, 2, 2))["1.weight"]
    np.testing.assert_array_equal(scale, [0, 2, 4, 6, 1, 3, 5, 7])


def test_flattened_by_hand():
    """Rows would pass too, but the order of the features depends on the input."""

    class Net(js.nn.SpikingModule):
        def __init__(self):
            self.fc, self.lif = linear(8), js.LIF()

        def __call__(self, state, x):
            lif, y = self.lif(state["lif"], self.fc(x.reshape(*x.shape[:-3], -1)))
            return {"lif": lif}, y

    with pytest.raises(ValueError, match="and `fc` may get a flattened image"):
        js.convert.to_torch(Net())
    js.convert.to_torch(Net(), (1, 2, 2, 2))


def test_an_order_that_the_trace_does_not_determine():
    class Net(js.nn.SpikingModule):
        def __init__(self):
            self.fc, self.lif = linear(8), js.LIF()

        def __call__(self, state, x):
            flat = x.reshape(*x.shape[:-3], -1)
            lif, y = self.lif(state["lif"], self.fc(flat[..., ::2]))
            return {"lif": lif}, y

    message = (
        "`to_torch(channels=...)` must name `fc`, whose order of features is unknown: PyTorch "
        "flattens C, H, W and Flax H, W, C. Give `channels={'fc': C}`; 1 keeps the order."
    )
    with pytest.raises(ValueError, match=exactly(message)):
        js.convert.to_torch(Net(), (1, 2, 2, 4))
    js.convert.to_torch(Net(), (1, 2, 2, 4), channels={"fc": 1})


def test_a_flat_image_behind_other_layers():
    """The order of features goes through neurons, normalization and skips, up to a product."""

    class Net(js.nn.SpikingModule):
        def __init__(self):
            self.lif, self.norm = js.LIF(), norm(8)
            self.a, self.b, self.last = linear(8, 8), linear(8, 8), js.LI()

        def __call__(self, state, x):
            lif, y = self.lif(state["lif"], self.norm(x.reshape(*x.shape[:-3], -1)))
            last, z = self.last(state["last"], self.b(self.a(y)))
            return {"lif": lif, "last": last}, z

    order = [0, 4, 1, 5, 2, 6, 3, 7]
    source = {k: np.arange(8.0) for k in ("norm.weight", "norm.bias", "norm.running_mean")}
    source |= {"norm.running_var": np.arange(8.0)}
    source |= {f"{k}.weight": np.tile(np.arange(8.0), (8, 1)) for k in "ab"}
    net = js.convert.from_torch(Net(), source, (1, 2, 2, 2))
    np.testing.assert_array_equal(net.a.kernel[:, 0], order)
    np.testing.assert_array_equal(net.b.kernel[:, 0], np.arange(8))
    np.testing.assert_array_equal(net.norm.mean[...], order)


# ANN to SNN


def ann():
    return nnx.Sequential(
        conv(1, 4, (3, 3)),
        norm(4),
        nnx.relu,
        lambda x: x.reshape(len(x), -1),
        nnx.Dropout(0.5, rngs=nnx.Rngs(0)),
        linear(64, 3, bias=True),
    )


def snn():
    return js.nn.Sequential(
        conv(1, 4, (3, 3)),
        norm(4),
        js.nn.Spiking(js.LIF(), learn=("tau",)),
        js.nn.Flatten(),
        linear(64, 3, bias=True),
        js.LI(),
    )


def test_ann_and_snn():
    source, rng = ann(), np.random.default_rng(0)
    trained = nnx.state(source, (nnx.Param, nnx.BatchStat))
    nnx.update(source, jax.tree.map(lambda a: jnp.asarray(rng.uniform(1, 2, a.shape)), trained))
    net = js.convert.from_ann(snn(), source)
    for a, b in ((0, 0), (1, 1), (5, 4)):
        assert states_equal(source.layers[a], net.layers[b])
    again = js.convert.from_ann(ann(), net)
    assert states_equal(again, source)


def test_the_thresholds_of_qcfs():
    ann = nnx.Sequential(nnx.Linear(2, 3, rngs=nnx.Rngs(0)), js.nn.QCFS(4, threshold=2.0))
    arrays = js.convert.to_torch(ann, (1, 2))
    np.testing.assert_allclose(arrays["1.thresh"], [2.0], rtol=1e-6)
    half = arrays | {"1.thresh": np.array([0.5], np.float32)}
    found = js.convert.from_torch(ann, half, (1, 2))
    assert found.layers[1].threshold == pytest.approx(0.5) and found.layers[1].threshold.ndim == 0
    net = js.convert.spiking(found, [jnp.zeros((1, 2))])  # nothing to calibrate, and no warning
    assert float(net.thresholds[0][...]) == pytest.approx(0.5)
    with pytest.raises(ValueError) as e:
        js.convert.from_torch(ann, arrays | {"1.thresh": np.array([-0.5], np.float32)}, (1, 2))
    assert str(e.value) == (
        "`from_torch(source=...)` must have thresholds of `QCFS` greater than 0, got -0.5."
    )


def test_one_line_of_flax_for_equal_paths():
    source, net = nnx.Sequential(linear(), nnx.relu), js.nn.Sequential(linear(), js.LIF())
    source.layers[0].kernel[...] = W
    nnx.update(net, nnx.state(source, nnx.Param))
    assert states_equal(net, source)


def test_s4d_of_its_authors():
    """The arrays of ``models/s4/s4d.py`` of state-spaces/s4, and its output by NumPy."""
    rng, (h, n, steps, batch) = np.random.default_rng(0), (3, 4, 20, 2)
    arrays = {
        "0.D": rng.normal(size=h),
        "0.kernel.C": rng.normal(size=(h, n, 2)),
        "0.kernel.log_dt": rng.uniform(-3, -1, h),
        "0.kernel.log_A_real": rng.uniform(-1, 0, (h, n)),
        "0.kernel.A_imag": rng.uniform(0, 9, (h, n)),
    }
    arrays = {name: a.astype(np.float32) for name, a in arrays.items()}
    a = -np.exp(arrays["0.kernel.log_A_real"]) + 1j * arrays["0.kernel.A_imag"]
    dt_a = a * np.exp(arrays["0.kernel.log_dt"])[:, None]
    c = arrays["0.kernel.C"] @ [1, 1j] * (np.exp(dt_a) - 1) / a
    kernel = 2 * (c[..., None] * np.exp(dt_a[..., None] * np.arange(steps))).sum(1).real
    x = rng.normal(size=(steps, batch, h))
    y = np.stack(
        [np.convolve(x[:, i, j], kernel[j])[:steps] for i in range(batch) for j in range(h)], -1
    ).reshape(steps, batch, h)
    y += x * arrays["0.D"]

    net = js.nn.Sequential(js.nn.SpikingS4D(h, n, v_threshold=0.1, rngs=nnx.Rngs(0)))
    net = js.convert.from_torch(net, arrays, (batch, h))
    _, spikes = net(net.init_state((batch, h)), jnp.asarray(x, jnp.float32))
    assert 0.2 < spikes.mean() < 0.8 and abs(y - 0.1).min() > 1e-4
    np.testing.assert_array_equal(spikes, y >= 0.1)
    back = js.convert.to_torch(net, (batch, h))
    assert back.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array)
    del arrays["0.kernel.C"]
    with pytest.raises(ValueError, match=r"Missing: 0.kernel.C \(3, 4, 2\)"):
        js.convert.from_torch(net, arrays, (batch, h))
