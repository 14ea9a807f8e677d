"""The networks of `js.models` are those of SpikingJelly: the same sizes, and the same spikes."""

import functools
import inspect

import golden_files
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from golden_weights import digest, sample, state_dict, uniform

import jaxspike as js

GOLDEN, INFO = golden_files.load("spikingjelly_models.npz")
T, N = 3, 2
M = js.models
PARAMETERS = {  # of the defaults; SpikingJelly's, without the running statistics
    "sew_resnet18": 11_689_512,
    "sew_resnet34": 21_797_672,
    "sew_resnet50": 25_557_032,
    "spiking_resnet18": 11_689_512,
    "spiking_resnet34": 21_797_672,
    "spiking_resnet50": 25_557_032,
    "ms_resnet18": 11_693_736,
    "ms_resnet34": 21_801_896,
    "max_resnet18": 12_502_090,
    "spiking_vgg11": 132_863_336,
    "spiking_vgg16": 138_357_544,
    "mnist_net": 13_201_128,
    "fashion_mnist_net": 13_201_128,
    "nmnist_net": 17_134_440,
    "cifar10_net": 36_720_492,
    "cifar10_dvs_net": 4_691_818,
    "dvs_gesture_net": 1_698_933,
    "spikformer_ti": 4_400_392,
    "spikformer_s": 13_244_824,
    "spikformer_cifar10": 9_310_906,
    "sdt_8_384": 16_816_744,
    "qkformer_10_384": 16_472_584,
    "maxformer_10_384": 16_236_616,
    "maxformer_cifar": 6_602_932,
}
SMALL = {"hidden": 16, "width": 4}
NETS = {
    "sew_resnet18": (M.sew_resnet18, {"width": 4}),
    "sew_resnet18_and": (M.sew_resnet18, {"width": 4, "connect": "and", "stem": "small"}),
    "sew_resnet34_iand": (M.sew_resnet34, {"width": 4, "connect": "iand"}),
    "sew_resnet50_iand": (M.sew_resnet50, {"width": 2, "connect": "iand"}),
    "spiking_resnet18": (M.spiking_resnet18, {"width": 4}),
    "spiking_resnet50": (M.spiking_resnet50, {"width": 2}),
    "ms_resnet18": (M.ms_resnet18, {"width": 4}),
    "max_resnet18": (M.max_resnet18, {"width": 4}),
    "spiking_vgg11": (M.spiking_vgg11, SMALL),
    "spiking_vgg16_bn": (M.spiking_vgg16, {**SMALL, "batch_norm": True}),
    "mnist_net": (M.mnist_net, {**SMALL, "size": (8, 8)}),
    "nmnist_net": (M.nmnist_net, {**SMALL, "size": (9, 9)}),
    "cifar10_net": (M.cifar10_net, {**SMALL, "size": (8, 8)}),
    "cifar10_dvs_net": (M.cifar10_dvs_net, {**SMALL, "size": (16, 16)}),
    "dvs_gesture_net": (M.dvs_gesture_net, {**SMALL, "size": (32, 32)}),
    "conv_net": (M.conv_net, {"width": 4, "size": (8, 8)}),
    "spiking_mlp": (M.spiking_mlp, {"in_features": 12, "hidden": (16,)}),
}
ROUNDED = "spiking_resnet50"  # whose gradients of training round to 1.7e-5 in single precision
TRAINED = [n for n in NETS if n != ROUNDED]
STEPS = "sew_resnet18", "sew_resnet50_iand", "spiking_resnet18", "max_resnet18", "cifar10_net"
FUSED = "sew_resnet18", "spiking_resnet18", "ms_resnet18", "max_resnet18", "spiking_vgg16_bn"
FUSED = *FUSED, "sew_resnet50_iand", "mnist_net", "conv_net"
NIR = "mnist_net", "sew_resnet18", "spiking_resnet18", "ms_resnet18", "conv_net", "spiking_mlp"


def slow_but(names, of):
    """The names ``of``, all but some of which are for the slow tests."""
    return [n if n in names else pytest.param(n, marks=pytest.mark.slow) for n in of]


@pytest.mark.parametrize("name", slow_but({"ms_resnet18", "dvs_gesture_net"}, PARAMETERS))
def test_number_of_parameters(name):
    net = nnx.eval_shape(lambda: getattr(M, name)(rngs=nnx.Rngs(0)))
    assert sum(p.size for p in jax.tree.leaves(nnx.state(net, nnx.Param))) == PARAMETERS[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", INFO["torchvision"])
def test_names_and_shapes_of_the_anns_of_torchvision(name):
    net = getattr(M, f"spiking_{name}")(rngs=nnx.Rngs(0))
    shapes = {k: a.shape for k, a in js.convert.to_torch(net, (1, 224, 224, 3)).items()}
    assert digest(shapes) == INFO["torchvision"][name]


def test_arguments_that_all_have():
    makes = {n: f for n, f in vars(M).items() if inspect.isfunction(f) and n[0] != "_"}
    for other in ("list", "card", "load", "conv_ann"):
        del makes[other]
    assert len(makes) > 30
    for name, make in makes.items():
        arguments = inspect.signature(make).parameters
        assert [*arguments][:2] == ["classes", "in_features"], name
        parts = {"rngs"} if make is M.state_space_net else {"neuron", "rngs"}
        assert arguments.keys() >= parts, name
        assert arguments.keys() & {"width", "dim", "hidden"}, name
        one = inspect.Parameter.KEYWORD_ONLY
        assert all(p.kind == one for p in [*arguments.values()][2:]), name


def channels_last(x):
    return np.moveaxis(x, 2, -1) if x.ndim > 3 else x


@functools.cache
def loaded(name):
    """A network with the weights of the golden file, and its input."""
    make, options = NETS[name]
    seed, gain = INFO[name]["seed"], INFO[name]["gain"]
    classes = 11 if name == "dvs_gesture_net" else 10
    net = make(classes, **options, rngs=nnx.Rngs(0))
    x_seq = channels_last(uniform((T, N, *INFO[name]["shape"]), seed, 1.5))
    shape = x_seq.shape[1:]
    shapes = {key: a.shape for key, a in js.convert.to_torch(net, shape).items()}
    assert digest(shapes) == INFO[name]["digest"]  # the names of SpikingJelly
    net = js.convert.from_torch(net, state_dict(shapes, seed, gain), shape)
    net.eval()
    return net, x_seq


def spikes_of(name, records):
    """Check the spikes of every layer."""
    found = {path: record["output"] for path, record in records.items()}
    assert list(found) == list(INFO[name]["rates"])
    for path, spikes in found.items():
        assert set(np.unique(spikes)) <= {0, 1}
        bits = np.packbits(np.asarray(spikes).astype(bool))
        np.testing.assert_array_equal(bits, GOLDEN[f"{name}/{path}"], err_msg=path)


def output_of(name, y):
    want = GOLDEN[f"{name}:y"]
    y = y.mean(0) if want.ndim < y.ndim else y  # the time average of MS-ResNet
    np.testing.assert_allclose(y, want, atol=1e-6 * max(1, np.abs(want).max()), rtol=0)


@pytest.mark.parametrize("name", slow_but({"sew_resnet18", "mnist_net"}, NETS))
def test_spikes_of_a_sequence(name):
    net, x_seq = loaded(name)

    @nnx.jit
    def run(net, xs):
        return js.debug.record(net, net.init_state(xs.shape[1:]), xs)[1:]

    y, records = run(net, x_seq)
    spikes_of(name, records)
    output_of(name, y)


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS)
def test_spikes_of_steps(name):
    net, x_seq = loaded(name)

    @nnx.jit
    def run(net, state, x):
        return js.debug.record(net, state, x)

    state, ys, records = net.init_state(x_seq.shape[1:]), [], []
    for x in x_seq:
        state, y, record = run(net, state, x)
        ys.append(y)
        records.append(record)
    spikes_of(name, jax.tree.map(lambda *leaves: jnp.stack(leaves), *records))
    output_of(name, jnp.stack(ys))


def assert_gradients(net, grads, shape, golden, rtol=1e-5):
    """Compare samples of the gradients of all parameters with those of SpikingJelly."""
    params = nnx.state(net, nnx.Param)
    nnx.update(net, jax.tree.map(lambda p, g: g, params, grads))  # to name and to transpose them
    found = js.convert.to_torch(net, shape)
    found = [a for key, a in sorted(found.items()) if "running" not in key and "num_" not in key]
    largest = golden[:, -1].max()
    for got, want in zip(found, golden, strict=True):
        # normalizations over few values amplify rounding: SpikingJelly's own gradients in float32
        # are off by up to 8e-6 of a parameter's largest; those of biases before them are 0
        atol = max(rtol * want[-1], 0.3 * rtol * largest)
        np.testing.assert_allclose(sample(got), want, rtol=0, atol=atol)


def loss_of(name, y):
    """The loss of the golden file."""
    shape = GOLDEN[f"{name}:y"].shape
    y = y.mean(0) if len(shape) < y.ndim else y
    return (y * uniform(shape, INFO[name]["seed"] + 1)).sum()


def gradients_of_training(name, dtype):
    """The loss and its gradients; the network, and the shape of its input."""
    net, x_seq = loaded(name)
    net = nnx.clone(net)

    def cast(a):
        return a.astype(dtype) if jnp.issubdtype(a.dtype, jnp.floating) else a

    nnx.update(net, jax.tree.map(cast, nnx.state(net)))
    net.train()
    for _, module in nnx.iter_modules(net):
        if isinstance(module, js.nn.Dropout):
            module.rate = 0.0

    @nnx.jit
    @nnx.value_and_grad
    def loss(net):
        state = net.init_state(x_seq.shape[1:], dtype)
        return loss_of(name, net(state, x_seq.astype(dtype))[1])

    return *loss(net), net, x_seq.shape[1:]


@pytest.mark.parametrize("name", slow_but({"mnist_net"}, TRAINED))
def test_gradients_of_training(name):
    value, grads, net, shape = gradients_of_training(name, jnp.float32)
    np.testing.assert_allclose(value, GOLDEN[f"{name}:loss"], rtol=1e-5)
    assert_gradients(net, grads, shape, GOLDEN[f"{name}:grads"])


@pytest.mark.slow
def test_gradients_of_training_in_double_precision():
    # flax's BatchNorm asks for the promotion
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        value, grads, net, shape = gradients_of_training(ROUNDED, jnp.float64)
        np.testing.assert_allclose(value, GOLDEN[f"{ROUNDED}:loss"], rtol=1e-12)
        assert_gradients(net, grads, shape, GOLDEN[f"{ROUNDED}:grads"], rtol=1e-12)


@pytest.mark.parametrize("order", ["layer", "step"])
@pytest.mark.parametrize("name", slow_but({"spiking_mlp"}, NETS))
def test_gradients_with_frozen_normalizations(name, order):
    """In evaluation mode a sequence and its steps have the same gradients."""
    net, x_seq = loaded(name)

    @nnx.jit
    @nnx.grad
    def gradients(net):
        state = net.init_state(x_seq.shape[1:])
        return loss_of(name, js.scan(net, state, x_seq, order=order)[1])

    grads = gradients(net)
    assert_gradients(nnx.clone(net), grads, x_seq.shape[1:], GOLDEN[f"{name}:frozen"])


@pytest.mark.slow
@pytest.mark.parametrize("name", FUSED)
def test_fused_normalizations_give_the_same_spikes(name):
    net, x_seq = loaded(name)
    fused = js.nn.fuse_conv_bn(net)
    assert not any(isinstance(m, nnx.BatchNorm) for _, m in nnx.iter_modules(fused))

    @nnx.jit
    def run(net, xs):
        return js.debug.record(net, net.init_state(xs.shape[1:]), xs)[1:]

    y, records = run(fused, x_seq)
    spikes_of(name, records)
    output_of(name, y)


@pytest.mark.parametrize("name", slow_but({"mnist_net"}, NIR))
def test_nir_gives_the_same_spikes(name):
    net, x_seq = loaded(name)
    fused = net if name == "spiking_mlp" else js.nn.fuse_conv_bn(net)
    graph = js.nir.to_nir(fused, x_seq.shape[2:])
    again = js.nir.from_nir(graph)

    @nnx.jit
    def run(net, xs):
        return js.debug.record(net, net.init_state(xs.shape[1:]), xs)[1:]

    y, records = run(again, x_seq)
    spikes_of(name, {path: records[path] for path in INFO[name]["rates"]})
    output_of(name, y)


def test_nir_of_a_recurrent_network():
    net = M.recurrent_net(3, 5, width=8, neuron=js.LIF(v_threshold=0.2), rngs=nnx.Rngs(0))
    x_seq = jax.random.uniform(jax.random.key(0), (10, 4, 5))
    run = nnx.jit(lambda net, xs: js.debug.record(net, net.init_state((4, 5)), xs)[1:])
    for _ in range(30):  # statistics
        run(net, x_seq)
    net.eval()
    again = js.nir.from_nir(js.nir.to_nir(js.nn.fuse_conv_bn(net), (5,)))
    (y, records), (want, wanted) = run(again, x_seq), run(net, x_seq)
    np.testing.assert_allclose(y, want, rtol=1e-5, atol=1e-6)
    for path, record in wanted.items():
        assert record["output"].any()
        np.testing.assert_array_equal(records[path]["output"], record["output"])


PLIF = functools.partial(M.plif_net, 3, 1, width=2, hidden=4, size=(8, 8))
VGG = functools.partial(M.spiking_vgg11, 3, 3, width=1, hidden=2)
AXES = "Channels come last, and time, if any, first."


@pytest.mark.parametrize(
    "make, shape, message",
    [
        (
            functools.partial(M.sew_resnet, depths=(1, 1, 1, 1), width=1),
            (2, 3, 8, 8),
            f"`ResNet(x=...)` must be [..., N, H, W, 3], got the shape (2, 3, 8, 8). {AXES}",
        ),
        (
            PLIF,
            (2, 9, 8, 1),
            f"`PLIFNet(x=...)` must be [..., N, 8, 8, 1], got the shape (2, 9, 8, 1). {AXES}",
        ),
        (
            VGG,
            (2, 16, 32, 3),
            "`SpikingVGG(x=...)` must be images of at least 32 x 32, got the shape (2, 16, 32, 3).",
        ),
    ],
)
def test_images_of_other_shapes(make, shape, message):
    net = nnx.eval_shape(lambda: make(rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError) as e:
        net.init_state(shape)
    assert str(e.value) == message


@pytest.mark.parametrize(
    "make, arguments, error, message",
    [
        (
            M.sew_resnet18,
            {"width": 0},
            ValueError,
            "`sew_resnet18(width=...)` must be at least 1, got 0.",
        ),
        (
            M.sew_resnet18,
            {"connect": "ADD"},
            ValueError,
            "`sew_resnet18(connect=...)` must be one of ('add', 'and', 'iand'), got 'ADD'.",
        ),
        (
            M.sew_resnet34,
            {"depths": (2, 2)},
            ValueError,
            "`sew_resnet34(depths=...)` must be four, one for each stage, got (2, 2).",
        ),
        (
            M.mnist_net,
            {"channels": 8},
            TypeError,
            "`mnist_net(...)`: got an unexpected keyword argument 'channels'. Its arguments are "
            "classes, in_features, stages, width, hidden, size, neuron, rngs.",
        ),
        (
            M.ms_resnet18,
            {"stem": "big"},
            ValueError,
            "`ms_resnet18(stem=...)` must be one of ('imagenet', 'small'), got 'big'.",
        ),
        (
            M.spiking_mlp,
            {"neuron": js.LIF},
            TypeError,
            "`spiking_mlp(neuron=...)` must be a neuron or a layer of neurons, got "
            "<class 'jaxspike.neurons.lif.LIF'>. Give an instance, such as `jaxspike.LIF()`.",
        ),
        (
            M.conv_net,
            {"size": (28, 28, 1)},
            ValueError,
            "`conv_net(size=...)` must be the height and width of the images, got (28, 28, 1). "
            "Give (28, 28).",
        ),
        (
            M.state_space_net,
            {"layers": 0},
            ValueError,
            "`state_space_net(layers=...)` must be at least 1, got 0.",
        ),
        (
            M.state_space_net,
            {"dropout": 1},
            ValueError,
            "`state_space_net(dropout=...)` must be at least 0 and less than 1, got 1.0.",
        ),
        (
            M.conv_ann,
            {"levels": 0},
            ValueError,
            "`conv_ann(levels=...)` must be at least 1, got 0.",
        ),
        (
            M.dvs_gesture_net,
            {"size": (64, 16)},
            ValueError,
            "`dvs_gesture_net(size=...)` must be at least 32 on each side, got (64, 16).",
        ),
        (
            js.nn.Voting(3),
            {},
            ValueError,
            "`Voting(size=...)` must divide the last axis of (2, 4), got 3.",
        ),
    ],
)
def test_errors(make, arguments, error, message):
    with pytest.raises(error) as e:
        if isinstance(make, nnx.Module):
            make(jnp.ones((2, 4)))
        else:
            make(**arguments, rngs=nnx.Rngs(0))
    assert str(e.value) == message


def test_a_preset_is_a_function_with_other_defaults():
    assert M.nmnist_net.__name__ == "nmnist_net"
    defaults = {k: p.default for k, p in inspect.signature(M.nmnist_net).parameters.items()}
    assert (defaults["in_features"], defaults["size"], defaults["width"]) == (2, (34, 34), 128)
    assert M.nmnist_net.__doc__.endswith("errors are those of `plif_net`.\n")
    small = {"width": 2, "hidden": 3, "size": (4, 4), "rngs": nnx.Rngs(0)}
    assert M.nmnist_net(3, 1, **small).conv_fc[0].kernel.shape == (3, 3, 1, 2)


@pytest.mark.parametrize("glu", [False, True])
def test_a_state_space_net(glu):
    options = {"width": 6, "states": 3, "layers": 2, "glu": glu}
    net = M.state_space_net(4, 2, **options, rngs=nnx.Rngs(0))
    xs = jax.random.normal(jax.random.key(0), (12, 3, 2))
    state, y = net(net.init_state((3, 2)), xs)  # in training mode
    assert y.shape == (12, 3, 4)
    net.eval()
    state, y, records = js.debug.record(net, net.init_state((3, 2)), xs)
    assert [*records] == ["1.s4d.output", "2.s4d.output"]
    assert all(0.05 < r["output"].mean() < 0.9 for r in records.values())
    last, steps = js.scan(net, net.init_state((3, 2)), xs, order="step")
    for a, b in ((y, steps), (state, last)):
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), a, b)
    arrays = js.convert.to_torch(net, (3, 2))
    again = M.state_space_net(4, 2, **options, rngs=nnx.Rngs(1))
    again = js.convert.from_torch(again, arrays, (3, 2))
    again.eval()
    np.testing.assert_array_equal(again(again.init_state((3, 2)), xs)[1], y)


def test_dropout_in_a_state_space_net():
    """Nearly all spikes are dropped in training: a block is its bias, and the way around."""
    net = M.state_space_net(4, 2, width=6, states=3, dropout=1 - 1e-6, rngs=nnx.Rngs(0))
    block = net[1]
    block.mix.bias[...] = jnp.arange(6.0)
    xs = jax.random.normal(jax.random.key(0), (12, 3, 6))
    state = block.init_state((3, 6))
    np.testing.assert_allclose(block(state, xs)[1], xs + jnp.arange(6.0), rtol=1e-6)
    net.eval()
    assert abs(block(state, xs)[1] - xs - jnp.arange(6.0)).max() > 0.1


def test_every_place_gets_a_copy_of_the_neuron():
    neuron = js.nn.Spiking(js.LIF(), learn=("tau",))
    net = M.spiking_mlp(3, 4, hidden=(5,), neuron=neuron, rngs=nnx.Rngs(0))
    net[1].tau_raw[...] = jnp.asarray(2.0)
    assert net[3].neuron.tau == neuron.neuron.tau == 2.0 != net[1].neuron.tau
