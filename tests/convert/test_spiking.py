"""ANNs whose activations fire: equal to SpikingJelly's at every step, to the ANN in the limit."""

import functools
import re

import golden_files
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

import jaxspike as js

SJ, INFO = golden_files.load("spikingjelly_conversion.npz")
KEY = jax.random.key(0)


def conv(x, weight, bias):
    kernel = jnp.transpose(weight, (2, 3, 1, 0))
    return (
        lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        + bias
    )


def norm(x, w, name):
    scale = w[f"{name}.weight"] * lax.rsqrt(w[f"{name}.running_var"] + 1e-5)
    return (x - w[f"{name}.running_mean"]) * scale + w[f"{name}.bias"]


def linear(x, w, name):
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def flat(x):
    return jnp.moveaxis(x, -1, 1).reshape(len(x), -1)


def residual(w, x):
    x = jax.nn.relu(norm(conv(x, w["conv1.weight"], w["conv1.bias"]), w, "bn1"))
    h = x + norm(conv(x, w["conv2.weight"], w["conv2.bias"]), w, "bn2")
    x = nnx.avg_pool(jnp.where(h > 0, h, 0.0), (2, 2), (2, 2))
    return linear(jnp.maximum(linear(flat(x), w, "fc1"), 0), w, "fc2")


def pooled(w, x):
    x = nnx.max_pool(nnx.relu(conv(x, w["conv1.weight"], w["conv1.bias"])), (2, 2), (2, 2))
    return linear(flat(x), w, "fc2")


def ann(name):
    weights = {k.removeprefix(f"{name}/"): jnp.asarray(v) for k, v in SJ.items() if name + "/" in k}
    weights = {k: v for k, v in weights.items() if not k.endswith("tracked")}
    return functools.partial({"residual": residual, "pooled": pooled}[name], weights)


BATCHES = list(np.moveaxis(SJ["batches"], 2, -1))
X = jnp.asarray(np.moveaxis(SJ["x"], 1, -1))


def repeated(x, steps):
    return jnp.broadcast_to(x, (steps, *x.shape))


@nnx.jit
def run(snn, x_seq):
    _, y, records = js.debug.record(snn, snn.init_state(x_seq.shape[1:]), x_seq)
    return y, [record["output"] for record in records.values()]


@pytest.mark.parametrize("mode", INFO["modes"])
def test_spikingjelly(mode, mixed_dtypes):
    name, options = INFO["modes"][mode]
    net = ann(name)
    np.testing.assert_allclose(net(X), SJ[f"{name}:y"], rtol=1e-5, atol=1e-5)
    if mode == "balanced":
        snn = js.convert.spiking(net, 6 * BATCHES, threshold="balanced")
    else:
        snn = js.convert.spiking(
            net,
            BATCHES,
            threshold=options["mode"].lower() if mode != "fraction" else options["mode"],
            per="channel" if options.get("channel_wise") else "layer",
            v_init=0.5 if options.get("half_threshold") else 0.0,
            average=0.1,
        )
    y, spikes = run(snn, repeated(X, 16))
    assert len(spikes) == (1 if name == "pooled" else 3)
    for k, (theta, z) in enumerate(zip(snn.thresholds, spikes, strict=True)):
        golden_files.assert_close(theta[...].reshape(-1), SJ[f"{mode}:{k}"])
        count = np.moveaxis(np.asarray(z.sum(0)), -1, 1)
        np.testing.assert_array_equal(count, SJ[f"{mode}:n{k}"])
        assert 0.02 < z.mean() < 0.9
    np.testing.assert_allclose(y, SJ[f"{mode}:y"], rtol=1e-5, atol=2e-5)


class Mixed(nnx.Module):
    """Every kind of activation, with max pooling after spikes and a sum that branches."""

    def __init__(self, rngs):
        self.conv1 = nnx.Conv(2, 4, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.conv2 = nnx.Conv(4, 4, (3, 3), rngs=rngs)
        self.fc1 = nnx.Linear(16, 8, rngs=rngs)
        self.fc2 = nnx.Linear(8, 3, rngs=rngs)

    def __call__(self, x):
        x = jnp.clip(self.norm(self.conv1(x)), 0, 1)
        x = nnx.max_pool(nnx.leaky_relu(x + self.conv2(x), 0.25), (2, 2), (2, 2))
        x = abs(self.fc1(x.reshape(len(x), -1)))
        return self.fc2(jax.checkpoint(jax.nn.relu6)(x))


@pytest.fixture(scope="module")
def mixed():
    net = Mixed(nnx.Rngs(1))
    net.eval()
    x = jax.random.uniform(KEY, (3, 4, 4, 2))
    return net, x, js.convert.spiking(net, [x], threshold="max")


def test_the_mean_output_is_the_ann_s_as_one_over_t(mixed):
    net, x, snn = mixed
    y, spikes = run(snn, repeated(x, 512))
    assert [bool((z != 0).any()) for z in spikes] == [True] * len(spikes) == [True] * 6
    assert snn.thresholds[0][...].max() <= 1
    golden_files.assert_close(snn.rate_limit(x), net(x))
    mean = jnp.cumsum(y, 0) / jnp.arange(1.0, 513)[:, None, None]
    errors = abs(mean - net(x)).max((1, 2))
    assert errors[7] > 0.05
    assert (jnp.array([8.0, 32, 128, 512]) * errors[jnp.array([7, 31, 127, 511])]).max() < 6
    assert errors[511] < 0.01


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_max_pooling_before_an_activation(dtype, mixed_dtypes):
    """As common as after it; and in 16 bits, beside thresholds of 32."""
    w = 2 * jax.random.normal(KEY, (3, 4), dtype)

    def net(x):
        return jax.nn.leaky_relu((x @ w).max(1), 0.25) @ w.T

    x = jax.random.normal(KEY, (6, 2, 3), dtype)
    snn = js.convert.spiking(net, [x], threshold="max")
    np.testing.assert_array_equal(snn.rate_limit(x), net(x))
    y, _ = run(snn, repeated(x, 256))
    assert y.dtype == dtype
    np.testing.assert_allclose(y.astype(jnp.float32).mean(0), net(x), rtol=0.02, atol=0.2)


@pytest.mark.parametrize("after", [True, False])
def test_max_pooling_of_jaxspike_nn(after):
    """It compares slices with each other, and fires as that of Flax does, at every step."""
    window, strides, padding = (3, 2), (2, 2), ((1, 1), (0, 0))
    kernel = jax.random.normal(KEY, (3, 3, 2, 3))
    x = jax.random.uniform(KEY, (2, 5, 6, 2))

    def net(pool, x):
        h = conv(x, jnp.transpose(kernel, (3, 2, 0, 1)), jnp.linspace(-0.5, 0, 3))
        h = pool(nnx.leaky_relu(h)) if after else nnx.leaky_relu(pool(h))
        return h @ kernel[0, 0].T

    def flax(h):
        return nnx.max_pool(h, window, strides, padding)

    nets = [functools.partial(net, f) for f in (js.nn.MaxPool(window, strides, padding), flax)]
    ours, want = (js.convert.spiking(f, [x], threshold="max") for f in nets)
    assert len(ours.neurons) == len(want.neurons) == 2 and ours.preprocessing == ()
    np.testing.assert_array_equal(run(ours, repeated(x, 9))[0], run(want, repeated(x, 9))[0])
    with pytest.raises(ValueError, match=r"^`spiking\(pool='refuse'\)` must not find max pooling"):
        js.convert.spiking(nets[0], [x], pool="refuse")


def test_the_first_layer_counts_exactly():
    x = jnp.linspace(-0.5, 1.7, 23)[:, None]
    snn = js.convert.spiking(lambda x: jax.nn.relu(x), [jnp.ones((1, 1))], threshold="max")
    for steps in (1, 4, 7):
        _, (z,) = run(snn, repeated(x, steps))
        want = np.clip(np.floor(steps * np.float64(x) + 0.5), 0, steps)
        np.testing.assert_array_equal(z.sum(0), want)


def test_one_definition_in_either_order_and_under_transformations(mixed):
    _, x, snn = mixed
    x_seq = repeated(x, 4) * jnp.linspace(0.55, 1.42, 4)[:, None, None, None, None]
    state = snn.init_state(x.shape)
    graph, variables = nnx.split(snn)

    @jax.jit
    def ways(variables, state, x_seq):
        net = nnx.merge(graph, variables)

        def of(x_seq):
            return net(net.init_state((1, *x.shape[1:])), x_seq[:, None])[1][:, 0]

        _, y0 = net(state, x_seq[0])
        return (
            js.scan(net, state, x_seq, order="layer"),
            js.scan(net, state, x_seq, order="step"),
            net(state, x_seq),
            y0,
            jax.vmap(of, 1, 1)(x_seq),
        )

    layer, step, call, y0, mapped = ways(variables, state, x_seq)
    for other in (step, call):
        jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-5), layer, other)
    np.testing.assert_allclose(layer[1][0], y0, atol=1e-5)
    np.testing.assert_allclose(layer[1], mapped, atol=1e-5)
    grads = nnx.jit(nnx.grad(lambda n: (n(state, x_seq)[1] ** 2).sum()))(snn)
    leaves = {jax.tree_util.keystr(p): g for p, g in jax.tree_util.tree_leaves_with_path(grads)}
    assert len(leaves) == 10 + 6
    silent = [p for p, g in leaves.items() if not np.any(g)]
    assert silent == []


def test_scans_over_layers_are_unrolled_and_a_partial_s_arrays_are_parameters():
    weights = jax.random.normal(KEY, (3, 5, 5))

    def net(weights, x):
        return lax.scan(lambda h, w: (jax.nn.relu(h @ w), None), x, weights)[0]

    x = jax.random.normal(KEY, (6, 5))
    snn = js.convert.spiking(functools.partial(net, weights), [x], threshold="max")
    y, spikes = run(snn, repeated(x, 256))
    assert len(spikes) == 3
    assert abs(y.mean(0) - net(weights, x)).max() < 0.02 * net(weights, x).max()
    golden_files.assert_close(snn.arguments[0][...], weights)


def test_products_read_spikes(mixed):
    _, x, snn = mixed
    report = snn.report(x, steps=8)
    by_layer = {row.name: row for row in report.operations.rows()}
    assert by_layer["ann.conv2.kernel"].mac == 0 and by_layer["ann.conv2.kernel"].ac > 0
    assert by_layer["ann.conv1.kernel"].mac > 0
    assert len(report.activations) == 6
    assert re.search(r"test_spiking.py:\d+ \(__call__\)", report.activations[0].line)
    row = report.activations[0]
    found = snn.activations(x)[0]
    theta, (_, (z, *_)) = snn.thresholds[0][...], run(snn, repeated(x, 8))
    error = abs(z.mean(0) * theta - found).mean() / found.mean()
    np.testing.assert_allclose(
        row[1:], (4 * 4 * 4, theta.mean(), z.mean(), (found > theta).mean(), error), rtol=1e-4
    )
    assert str(report).splitlines()[0].split() == (
        ["activation", "neurons", "threshold", "rate", "clipped", "error"]
    )
    assert report.to_dict()["steps"] == 8


def test_calibration_does_not_depend_on_the_order_of_batches():
    x = list(jax.random.normal(KEY, (4, 8, 3)))
    for threshold in ("max", "90%", 0.5):
        a, b = (
            js.convert.spiking(lambda x: jax.nn.relu(x), batches, threshold=threshold)
            for batches in (x, x[::-1])
        )
        golden_files.assert_close(a.thresholds[0][...], b.thresholds[0][...])
    moving = [
        js.convert.spiking(lambda x: jax.nn.relu(x), batches, average=0.1).thresholds[0][...]
        for batches in (x, x[::-1])
    ]
    assert abs(moving[0] - moving[1]).max() > 1e-3


ONES = jnp.ones((2, 3))


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (
            {"ann": 3},
            TypeError,
            "`spiking(ann)` must be a function of an array, got 3. Give a Flax module or a "
            "function.",
        ),
        (
            {"ann": js.LIF()},
            TypeError,
            "`spiking(ann)` must be a network without spikes, got a LIF with spiking layers. "
            "Convert the ANN alone, and put the result beside them in a `jaxspike.nn.Sequential`.",
        ),
        (
            {"ann": nnx.Linear},
            TypeError,
            "`spiking(ann)` must be a function of an array, got the class Linear. Give an "
            "instance.",
        ),
        (
            {"ann": lambda x: 2 * x},
            ValueError,
            "`spiking(ann)` must have an activation, got none. Activations are relu, leaky_relu, "
            "relu6, `jnp.clip(x, low, high)`, `jnp.abs` and `jaxspike.nn.QCFS`, and none is looked "
            "for inside `jax.lax.cond` and `jax.lax.while_loop`.",
        ),
        (
            {"batches": ONES},
            TypeError,
            "`spiking(batches=...)` must be batches, got an array of shape (2, 3). Give `[x]`.",
        ),
        (
            {"batches": 3},
            TypeError,
            "`spiking(batches=...)` must be batches of inputs, got 3. Give `[x]`.",
        ),
        (
            {"batches": []},
            ValueError,
            "`spiking(batches=...)` must have at least one batch, got none. Give `[x]`.",
        ),
        (
            {"batches": [ONES[:0]]},
            ValueError,
            "`spiking(batches=...)` must be [N, *] with samples, got the shape (0, 3).",
        ),
        (
            {"batches": [ONES, ONES[:, :2]]},
            ValueError,
            "`spiking(batches=...)` must all be [N, 3], got the shape (2, 2).",
        ),
        (
            {"batches": [ONES * jnp.nan]},
            ValueError,
            "`spiking(batches=...)` must be finite, got a NaN or an infinity.",
        ),
        (
            {"batches": [(ONES, ONES[0])]},
            TypeError,
            "`spiking(batches=...)` must be arrays of inputs, got a tuple. Leave labels out, and "
            "join several inputs to one array.",
        ),
        (
            {"threshold": "most"},
            ValueError,
            "`spiking(threshold=...)` must be 'max', 'balanced', a percentile or a fraction of "
            "the maximum, got 'most'. Give '99%' or 0.5.",
        ),
        (
            {"threshold": 1.5},
            ValueError,
            "`spiking(threshold=...)` must be at most 1, got 1.5. Give a fraction of the max.",
        ),
        (
            {"per": "neuron"},
            ValueError,
            "`spiking(per=...)` must be one of ('channel', 'layer'), got 'neuron'.",
        ),
        (
            {"average": 1.5},
            ValueError,
            "`spiking(average=...)` must be at most 1, got 1.5.",
        ),
        (
            {"average": 0.1, "threshold": "balanced"},
            ValueError,
            "`spiking(average=...)` must be 'all' with threshold='balanced', got 0.1. Balanced "
            "thresholds grow with every batch.",
        ),
        (
            {"strict": "no"},
            ValueError,
            "`spiking(strict=...)` must be one of (True, False), got 'no'.",
        ),
        (
            {"progress": 1},
            ValueError,
            "`spiking(progress=...)` must be one of (True, False), got 1.",
        ),
        (
            {"neuron": js.IF()},
            ValueError,
            "`spiking(neuron=...)` must have a v_threshold, a soft reset and no leak, got IF(). "
            "Give an instance, such as `jaxspike.IF(v_reset=None)`.",
        ),
        (
            {"neuron": js.LIF(v_reset=None)},
            ValueError,
            "`spiking(neuron=...)` must have a v_threshold, a soft reset and no leak, got "
            "LIF(v_reset=None). Give an instance, such as `jaxspike.IF(v_reset=None)`.",
        ),
        (
            {"ann": lambda x: {"y": jax.nn.relu(x)}},
            TypeError,
            "`spiking(ann)` must return one array, got a dict. Take one of them.",
        ),
    ],
)
def test_errors(change, error, text):
    arguments = {"ann": lambda x: jax.nn.relu(x), "batches": [ONES]} | change
    ann, batches = arguments.pop("ann"), arguments.pop("batches")
    with pytest.raises(error) as e:
        js.convert.spiking(ann, batches, **arguments)
    assert str(e.value) == text


@pytest.mark.parametrize(
    ("f", "name"),
    [
        (lambda h: jax.nn.gelu(jax.nn.relu(h)), "tanh"),
        (lambda h: jax.nn.softmax(jax.nn.relu(h)), "exp"),
        (lambda h: jax.nn.relu(h) * jax.nn.relu(h + 1), "mul"),
        (lambda h: jnp.cumsum(jax.nn.relu(h), 0).max(0), "reduce_max"),
        (lambda h: nnx.LayerNorm(3, rngs=nnx.Rngs(0))(jax.nn.relu(h)), "square"),
        (lambda h: jax.nn.relu(h).astype(int).astype(h.dtype), "convert_element_type"),
        (lambda h: jax.lax.top_k(jax.nn.relu(h), 2)[0], "top_k"),
        (lambda h: jax.lax.cond(jax.nn.relu(h).sum() > 0, jnp.sin, jnp.cos, h), "cond"),
        (lambda h: jnp.minimum(jax.nn.relu(h), jax.nn.relu(h + 1)), "min"),
        (lambda h: nnx.GroupNorm(3, 3, rngs=nnx.Rngs(0))(jax.nn.relu(h)), "square"),
        (lambda h: (lambda r: jnp.select([r > 1, r > 0.5], [1.0, r]))(jax.nn.relu(h)), "select_n"),
    ],
)
def test_what_is_not_affine_is_refused_by_name_and_line(f, name):

    def net(x):
        return f(x @ jnp.eye(3))

    with pytest.raises(ValueError) as e:
        js.convert.spiking(net, [ONES])
    assert re.match(
        r"`spiking\(ann\)` must be affine between its activations, got `.*"
        rf"`?{name}` of \S+ at \S*test_spiking.py:\d+ .*"
        r" Replace it, write an activation as `jax.nn.relu` or `jnp.clip`, or keep it with "
        r"`strict=False`\.",
        str(e.value),
    )
    snn = js.convert.spiking(net, [ONES], strict=False)
    assert any(name in island for island in snn.islands)


class Forced(nnx.Module):
    """A layer that is told to train, and one inside of a transformation of Flax, which is not."""

    def __init__(self, layer, mode):
        self.layer, self.options = layer, {mode: False}
        self.norm = nnx.BatchNorm(3, rngs=nnx.Rngs(0))

    def __call__(self, x):
        x = nnx.remat(lambda norm, x: nnx.relu(norm(x)))(self.norm, x)
        return self.layer(x, **self.options) if self.layer else x


def test_layers_inside_of_transformations_of_flax():
    assert len(js.convert.spiking(Forced(None, "deterministic"), [ONES]).neurons) == 1


def test_training_mode_other_shapes_and_dead_activations(mixed):
    snn = mixed[2]
    with pytest.raises(ValueError) as e:
        snn.init_state((3, 5, 5, 2))
    assert str(e.value) == (
        "`SpikingANN.init_state(shape)` must be (N, 4, 4, 2), the shape of one step of the inputs "
        "that it was calibrated on, got (3, 5, 5, 2)."
    )
    with pytest.raises(ValueError) as e:
        snn.rate_limit(jnp.ones((3, 5, 5, 2)))
    assert str(e.value) == (
        "`SpikingANN(x=...)` must be [N, 4, 4, 2], one step of the inputs that it was calibrated "
        "on, got the shape (3, 5, 5, 2)."
    )
    with pytest.raises(TypeError) as e:
        snn(js.LIF().init_state((3, 4, 4, 2)), jnp.ones((3, 4, 4, 2)))
    assert str(e.value) == (
        "`SpikingANN(state=...)` must be its own state, a list of 6 SiteState, got a LIFState. "
        "Build it with `net.init_state(shape)`."
    )
    with pytest.raises(ValueError) as e:
        snn(snn.init_state((3, 4, 4, 2)), jnp.ones((3, 4, 4, 1)))
    assert str(e.value) == (
        "`SpikingANN(x=...)` must be [N, 4, 4, 2], one step of the inputs that it was calibrated "
        "on, or [T, N, 4, 4, 2], got the shape (3, 4, 4, 1)."
    )
    with pytest.raises(ValueError) as e:
        js.convert.spiking(lambda x: lax.map(nnx.relu, x), [ONES, ONES[:1]])
    assert str(e.value) == (
        "`spiking(ann)` must have the same activations for all batches, got 1 for the shape (1, 3) "
        "and 2 before. Use `jax.vmap` instead of a loop over samples; to export a converted "
        "network, trace it first with `jax.make_jaxpr`."
    )
    for layer, mode, changed in (
        (nnx.BatchNorm(3, rngs=nnx.Rngs(0)), "use_running_average", "layer.mean, layer.var"),
        (nnx.Dropout(0.5, rngs=nnx.Rngs(0)), "deterministic", "layer.rngs.count"),
    ):
        with pytest.raises(ValueError) as e:
            js.convert.spiking(Forced(layer, mode), [ONES])
        assert str(e.value) == (
            f"`spiking(ann)` must be in evaluation mode, got a call that changes {changed}. Leave "
            "out `deterministic=False` and `use_running_average=False`."
        )
    norm = nnx.BatchNorm(3, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"^`spiking\(ann\)` must be in evaluation mode, got one "):
        js.convert.spiking(lambda x: jax.nn.relu(norm(x)), [ONES])
    with pytest.warns(UserWarning, match=r"^`spiking`: the activations at .*test_spiking.*zero on"):
        snn = js.convert.spiking(lambda x: jax.nn.relu(x - 9), [ONES])
    assert (snn.thresholds[0][...] > 0).all()
    with pytest.raises(ValueError) as e:
        js.convert.spiking(lambda x: jnp.clip(x, 0, jnp.array([1.0, 2.0, -0.5])), [ONES])
    assert str(e.value).startswith(
        "`spiking(ann)` must clip to a largest value of at least 0, got -0.5 at /"
    )
    with pytest.raises(ValueError, match=r"^`spiking\(pool='refuse'\)` must not find max pooling"):
        js.convert.spiking(ann("pooled"), BATCHES, pool="refuse")


def test_values_of_x_cannot_choose_a_python_branch():
    with pytest.raises(jax.errors.TracerBoolConversionError) as e:
        js.convert.spiking(lambda x: jax.nn.relu(x) if x.sum() > 0 else x, [ONES])
    note = "`spiking(ann)` must not choose a Python branch by the values of x. Use `jnp.where`."
    assert note in e.value.__notes__
    with pytest.raises(jax.errors.TracerArrayConversionError) as e:
        js.convert.spiking(lambda x: jnp.asarray(np.maximum(x, 0)), [ONES])
    note = "`spiking(ann)` must be made of functions of JAX, which can be traced. Use `jnp`."
    assert note in e.value.__notes__


class Normalized(nnx.Module):
    """Tokens, normalized and gated before the first weights after which anything fires."""

    def __init__(self, rngs):
        self.embed = nnx.Embed(7, 6, rngs=rngs)
        self.norm = nnx.LayerNorm(6, rngs=rngs)
        self.fc1, self.fc2 = nnx.Linear(6, 8, rngs=rngs), nnx.Linear(8, 3, rngs=rngs)

    def __call__(self, tokens):
        x = self.norm(self.embed(tokens))
        h = nnx.relu(self.fc1(x * jnp.log1p(jnp.maximum(x, 0))))
        return self.fc2(h * (tokens > 0)[:, None].astype(h.dtype)) + nnx.gelu(x)[:, :3]


def test_anything_may_be_computed_from_the_input_alone():
    net, tokens = Normalized(nnx.Rngs(0)), jnp.arange(7)
    snn = js.convert.spiking(net, [tokens], threshold="max")
    y, (z,) = run(snn, repeated(tokens, 256))
    assert z.shape == (256, 7, 8) and 0.02 < z.mean() < 0.9
    np.testing.assert_allclose(y.mean(0), net(tokens), atol=0.02)
    golden_files.assert_close(snn.rate_limit(tokens), net(tokens))
    names = {text.split("`")[1] for text in snn.preprocessing}
    assert {"square", "rsqrt", "max", "log1p", "tanh"} <= names
    assert not {"dot_general", "add", "lt"} & names
    report = snn.report(tokens, steps=4)
    assert report.to_dict()["analog"] == list(snn.preprocessing) and snn.islands == ()
    assert str(report).splitlines()[-1].startswith("without spikes: `")


def test_a_slope_below_zero_in_any_spelling():
    w = jax.random.normal(KEY, (3, 8))
    slope = jnp.linspace(0.1, 0.3, 8)
    x = jax.random.normal(KEY, (6, 3))
    for net in (
        lambda x: jnp.where(x @ w > 0, x @ w, slope * (x @ w)),  # computed three times
        lambda x: jnp.maximum(x @ w, (x @ w) * 0.2),
    ):
        snn = js.convert.spiking(net, [x], threshold="max")
        assert len(snn.neurons) == 2
        golden_files.assert_close(snn.rate_limit(x), net(x))
    with pytest.raises(
        ValueError, match=r"must have an activation, got none but `max` of 6x8 at /"
    ):
        js.convert.spiking(lambda x: jnp.maximum(x @ w, slope * (x @ w)), [x])  # if slope > 1?


@pytest.mark.parametrize(
    "f", [jax.nn.softplus, jax.nn.soft_sign, jax.nn.hard_silu, lambda h: jnp.logaddexp(h, 0.0)]
)
def test_a_relu_inside_another_function_does_not_fire(f):
    w = jax.random.normal(KEY, (8, 8))
    x = jax.random.normal(KEY, (6, 8))

    def hidden(x):
        return jax.nn.relu(x @ w) @ w

    snn = js.convert.spiking(lambda x: f(hidden(x)) @ w, [x], threshold="max", strict=False)
    before = js.convert.spiking(hidden, [x], threshold="max")
    x_seq = jnp.broadcast_to(x, (5, *x.shape))
    _, y_seq = snn(snn.init_state(x.shape), x_seq)
    _, h_seq = before(before.init_state(x.shape), x_seq)
    assert len(snn.thresholds) == 1
    golden_files.assert_close(y_seq, f(h_seq) @ w)

    def quantized(x):
        return f(QUANTIZED(x @ w) @ w)

    signed = js.convert.signed_spiking(quantized, x, strict=False)
    steps = jnp.broadcast_to(x, (24, *x.shape))
    golden_files.assert_close(signed(signed.init_state(x.shape), steps)[1][-1], quantized(x))


QUANTIZED = js.nn.QCFS(levels=4, threshold=2.0)
SPELLINGS = [  # and the number of populations
    (nnx.relu, 1),
    (lambda x: jnp.maximum(0.0, x), 1),
    (lambda x: jnp.where(x < 0, 0, x), 1),
    (lambda x: jnp.where(~(x < 0), x, jnp.zeros_like(x)), 1),
    (lambda x: jnp.clip(x, 0), 1),
    (lambda x: x * (x > 0), 1),
    (lambda x: jnp.maximum(jnp.minimum(x, 1), 0), 1),
    (lambda x: jax.vmap(jax.nn.hard_sigmoid)(x), 1),
    (lambda x: x * jnp.where(x > 0, 1.0, 0.0), 1),
    (lambda x: jnp.fmax(x, 0), 1),
    (lambda x: jnp.fmin(jnp.fmax(0, x), 0.5), 1),
    (lambda x: jnp.select([x > 0], [x]), 1),
    (lambda x: jnp.piecewise(x, [x < 0], [0, lambda x: x]), 1),
    (lambda x: jnp.clip(x, 0, jnp.linspace(0.3, 0.7, 5)), 1),
    (lambda x: jnp.piecewise(x, [x > 0], [lambda x: x, lambda x: x / 4]), 2),
    (lambda x: jnp.maximum(x, 0) + 0.25 * jnp.minimum(0, x), 2),
    (lambda x: jnp.where(x > 0, x, x / 4), 2),
    (jax.nn.hard_tanh, 2),
    (jax.jit(lambda x: jnp.clip(x, -0.5, 2)), 2),
]


def test_activations_in_many_spellings(mixed_dtypes):
    kernels = 0.9 * jax.random.normal(KEY, (len(SPELLINGS), 5, 5))
    x = jax.random.normal(KEY, (9, 5))

    def net(x):
        h = 0.0
        for (act, _), kernel in zip(SPELLINGS, kernels, strict=True):
            h = jax.lax.stop_gradient(act(2 * (x + h) @ kernel))
        return h

    snn = js.convert.spiking(net, [x], threshold="max")
    assert len(snn.neurons) == sum(n for _, n in SPELLINGS)
    assert (snn.preprocessing, snn.islands) == ((), ())
    golden_files.assert_close(snn.rate_limit(x), net(x))
    found = [float(theta[...].max()) for theta in snn.thresholds]
    capped = {6: 1, 7: 6, 10: 0.5, 13: 0.7, 20: 1, 21: 1, 22: 2, 23: 0.5}
    assert all(found[k] <= limit + 1e-6 for k, limit in capped.items())


def test_what_moves_values_is_affine(mixed_dtypes):
    """Compared with neurons by hand, step by step."""

    def net(act, x):
        a, b = jnp.split(act(0, x), 2, 1)
        x = jnp.stack([a, 2 * b, a.at[:, 0].set(1.0)], 1).reshape(len(x), -1)
        x = jnp.tile(act(1, x.at[:, 1].add(x[:, 2])), (1, 2))[:, 3:9]
        return lax.dynamic_update_slice(x, jnp.ones((len(x), 1)), (0, 2)).at[:, 0].multiply(3.0)

    x = jax.random.uniform(KEY, (4, 4), minval=-0.3)
    snn = js.convert.spiking(lambda x: net(lambda _, a: nnx.relu(a), x), [x], per="layer")
    y, _ = run(snn, repeated(x, 6))
    potentials = {}

    def fire(k, a):
        theta = snn.thresholds[k][...]
        v = potentials.get(k, theta / 2) + a
        potentials[k] = v - theta * (v >= theta)
        return theta * (v >= theta)

    for t in range(6):
        np.testing.assert_allclose(y[t], net(fire, x), rtol=1e-5)


def test_channels_in_any_layout():
    kernels = jax.random.normal(KEY, (2, 3, 3, 2, 2))
    x = jax.random.uniform(KEY, (3, 4, 5, 2))

    def net(layout, x):
        numbers = (layout, "HWIO", layout)
        for kernel in kernels:
            h = lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=numbers)
            x = nnx.leaky_relu((h - 0.1) * 2)
        return x

    last = js.convert.spiking(functools.partial(net, "NHWC"), [x])
    first = js.convert.spiking(functools.partial(net, "NCHW"), [jnp.moveaxis(x, -1, 1)])
    assert [t[...].shape for t in first.thresholds] == [(2, 1, 1)] * 4
    for a, b in zip(first.thresholds, last.thresholds, strict=True):
        golden_files.assert_close(a[...].reshape(-1), b[...])
    y, _ = run(last, repeated(x, 5))
    z, _ = run(first, repeated(jnp.moveaxis(x, -1, 1), 5))
    np.testing.assert_allclose(jnp.moveaxis(z, 2, -1), y, atol=1e-4)
    assert abs(y).max() > 1


def test_first_steps_can_be_skipped():
    snn = js.convert.spiking(lambda x: jax.nn.relu(x), [ONES])
    y = jax.random.normal(KEY, (5, 2, 3))
    for skip in (0, 3):
        want = [y[skip:t].mean(0) for t in range(skip + 1, 6)]
        np.testing.assert_allclose(snn.estimates(y, skip=skip), want, rtol=1e-6)
    with pytest.raises(ValueError, match=r"^`estimates\(skip=...\)` must be from 0 to 4, got 5.$"):
        snn.estimates(y, skip=5)


def test_potentials_make_up_for_what_neurons_lack_on_average():
    w = jax.random.normal(KEY, (3, 5, 5))
    x = jax.random.normal(KEY, (40, 5))

    def net(x):
        return jax.nn.relu(jax.nn.relu(jax.nn.relu(x @ w[0]) @ w[1]) @ w[2])

    batches = [x[:30], x[30:]]
    snn = js.convert.spiking(net, [x], v_init=0.2)
    other = js.convert.calibrate_potentials(snn, batches, steps=4)
    assert other.v_init[0].shape == (5,) and snn.v_init[0].shape == ()

    def lacking(net):
        y, spikes = run(net, repeated(x, 4))
        triples = zip(net.activations(x), net.thresholds, spikes, strict=True)
        means = [(4 * jnp.minimum(a / t[...], 1) - z.sum(0)).mean(0) for a, t, z in triples]
        return means, abs(y.mean(0) - net.rate_limit(x)).mean()

    (first, *deep), error = lacking(snn)
    (_, *fewer), less = lacking(other)
    np.testing.assert_allclose(other.v_init[0][...], 0.2 + first, atol=1e-5)
    for before, after in zip(deep, fewer, strict=True):
        assert abs(after).mean() < 0.7 * abs(before).mean()
    assert less < error
    with pytest.raises(TypeError) as e:
        js.convert.calibrate_potentials(net, batches, steps=4)
    assert str(e.value) == (
        "`calibrate_potentials(snn)` must be a SpikingANN, got a function. Convert an ANN with "
        "`spiking` first."
    )
    with pytest.raises(TypeError, match=r"must be batches, got an array of shape \(40, 5\)\. Giv"):
        js.convert.calibrate_potentials(snn, x, steps=4)


def test_complex_numbers_prints_and_jit():
    """The absolute value of a complex number is no activation."""
    with pytest.raises(ValueError, match="must have an activation, got none but `abs` of 2x3"):
        js.convert.spiking(lambda x: jnp.abs(jnp.fft.fft(x)), [ONES])

    def net(x):
        h = nnx.relu(x)
        jax.debug.print("{}", h.sum())
        return 2 * h

    @jax.jit
    def calibrate(x):
        snn = js.convert.spiking(net, [x], threshold="max")
        return snn.thresholds[0][...], snn(snn.init_state(x.shape), x)[1]

    x = 3 * ONES * jnp.arange(3.0)
    theta, y = calibrate(x)
    np.testing.assert_allclose(theta, [1e-6, 3, 6], rtol=1e-6)
    np.testing.assert_array_equal(y, 2 * x)


def test_a_bar_over_the_batches(capsys):
    js.convert.spiking(lambda x: jax.nn.relu(x), [ONES] * 3, progress=True)
    assert re.search(r"spiking: 100%.*3/3 ", capsys.readouterr().err)


def test_beside_layers_that_spike():
    """The converted ANN is a layer: the same as by hand."""
    snn = js.convert.spiking(nnx.relu, [ONES], threshold="max")
    lif, x_seq = js.LIF(v_threshold=0.7), repeated(ONES, 4)
    net = js.nn.Sequential(lif, snn)
    _, y = net(net.init_state((2, 3)), x_seq)
    _, spikes = js.scan(lif, lif.init_state((2, 3)), x_seq)
    np.testing.assert_array_equal(y, snn(snn.init_state((2, 3)), spikes)[1])
    assert 0 < y.mean() < 1
