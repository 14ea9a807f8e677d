"""The meter against NeuroBench, by hand, and under transformations."""

import functools
import re

import golden_files
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax
from jax.experimental import pallas as pl
from matplotlib.figure import Figure

import jaxspike as js
from jaxspike.cost import counters

ARRAYS, INFO = golden_files.load("neurobench.npz")


@functools.cache
def snntorch_network(name):
    rngs = nnx.Rngs(0)

    def leaky():
        return js.presets.snntorch.leaky(0.75, 0.5, "zero")

    if name == "dense":
        shape = (12,)
        layers = [nnx.Linear(12, 20, rngs=rngs), leaky(), nnx.Linear(20, 5, rngs=rngs), leaky()]
    else:
        shape = (9, 9, 2)
        conv = functools.partial(nnx.Conv, kernel_size=(3, 3), rngs=rngs)
        layers = [
            conv(2, 6, strides=2, padding=((1, 1), (1, 1)), use_bias=False),
            leaky(),
            conv(6, 4, padding=((2, 2), (2, 2)), kernel_dilation=2, feature_group_count=2),
            leaky(),
            js.nn.Flatten(),
            nnx.Linear(100, 5, rngs=rngs),
            leaky(),
        ]
    net = js.nn.Sequential(*layers)
    weights = {
        k.removeprefix(f"{name}."): v
        for k, v in ARRAYS.items()
        if k.startswith(name) and k.endswith(("weight", "bias"))
    }
    net = js.convert.from_torch(net, weights, shape=(3, *shape))
    state = net.init_state((3, *shape))

    @jax.jit
    def run(x_seq):
        return js.cost.operations(net, state, x_seq), js.debug.record(net, state, x_seq)[2]

    return run


@pytest.mark.parametrize("kind", ["binary", "ternary", "real", "whole"])
@pytest.mark.parametrize("name", ["dense", "convolutions"])
def test_neurobench(name, kind):
    run = snntorch_network(name)
    x_seq = jnp.asarray(ARRAYS[f"{name}.{kind}.x"])
    x_seq = jnp.moveaxis(x_seq, 2, -1) if name == "convolutions" else x_seq
    report, records = run(x_seq)
    spikes = [record["output"] for record in records.values()]
    got, expected = js.cost.neurobench(report, spikes), INFO[f"{name}.{kind}"]
    assert got["ParameterCount"] == expected["ParameterCount"]
    assert got["ConnectionSparsity"] == expected["ConnectionSparsity"]
    assert got["ActivationSparsity"] == pytest.approx(expected["ActivationSparsity"], abs=1e-12)
    operations = {k: round(3 * n) for k, n in expected["SynapticOperations"].items()}
    assert {k: 3 * n for k, n in got["SynapticOperations"].items()} == operations
    assert 3 * got["MembraneUpdates"] == round(3 * expected["MembraneUpdates"])


W = jnp.asarray(np.random.default_rng(0).integers(-1, 2, (4, 6)).astype(np.float32))
R = jnp.asarray(np.random.default_rng(1).normal(size=(6, 6)).astype(np.float32))
X = jnp.asarray(np.random.default_rng(2).integers(0, 2, (5, 3, 4)).astype(np.float32))
LIF = js.LIF(v_threshold=0.3)


def recurrent(params, state, x):
    """One step of a recurrent layer."""
    h, z = state
    h, z = LIF(h, x @ params["w"] + z @ params["r"])
    return (h, z), z


NET = functools.partial(recurrent, {"w": W, "r": R})
STATE = (LIF.init_state((3, 6)), jnp.zeros((3, 6)))


@functools.cache
def report_of_net():
    """The report of `NET`, which many tests read."""
    return js.cost.operations(NET, STATE, X)


def by_hand(w=W, r=R):
    """Effective operations, in NumPy, of the spikes of `NET`."""
    _, z_seq = lax.scan(NET, STATE, X)
    before = np.concatenate([np.zeros((1, 3, 6)), z_seq[:-1]])
    return {
        "w": int((np.not_equal(X, 0) @ np.not_equal(w, 0).astype(float)).sum()),
        "r": int(((before != 0) @ np.not_equal(r, 0).astype(float)).sum()),
    }


def test_every_parameter_by_its_path():
    report = report_of_net()
    rows = {row.name: row for row in report.rows()}
    assert {name: row.ac for name, row in rows.items()} == by_hand()
    assert by_hand()["r"] > 0
    assert rows["w"].dense == 5 * 3 * 4 * 6 and rows["r"].dense == 5 * 3 * 6 * 6
    assert rows["w"].activation_sparsity == 1 - np.count_nonzero(X) / X.size
    assert report.samples == 3 and report.steps == 5
    assert report.connection_sparsity == pytest.approx(
        np.mean(np.concatenate([W.ravel(), R.ravel()]) == 0)
    )
    steps = report.per_step()
    assert steps["ac"].sum() == report.ac and steps["ac"].shape == (5,)
    assert len(set(steps["ac"])) > 1
    assert report.state_reads == 5 * (3 * 6 * 2) and report.state_bytes == 4 * report.state_reads


def test_bytes():
    report = report_of_net()
    assert report.activation_bytes == 4 * (X.size + 5 * 3 * 6)
    assert report.footprint == 4 * (W.size + R.size)
    rows = {row.name: row for row in report.rows()}
    assert rows["w"].activation_bytes == 4 * X.size and rows["w"].parameter_bytes == 4 * W.size
    assert rows["r"].outputs == 5 * 3 * 6 and rows["r"].elements == 5 * 3 * 6
    half = js.cost.operations(
        lambda s, x: (s, x @ W.astype(jnp.bfloat16)), (), X.astype("bfloat16")
    )
    assert half.activation_bytes == 2 * X.size and half.rows()[0].parameter_bytes == 0


def image_step(state, x):
    """A convolution, with or without a batch axis, as Flax does it."""
    conv = nnx.Conv(2, 3, (3, 3), rngs=nnx.Rngs(0))
    return state, jax.nn.relu(conv(x))


@pytest.mark.parametrize(
    ("step", "state", "x_seq", "samples"),
    [
        (NET, STATE, X, 3),
        (NET, jax.tree.map(lambda a: a[0], STATE), X[:, 0], 1),
        (image_step, (), jnp.ones((2, 4, 7, 7, 2)), 4),
        (image_step, (), jnp.ones((2, 7, 7, 2)), 1),
        (lambda s, x: (s, x.reshape(3, -1).T), (), jnp.ones((2, 3, 2, 2)), 3),
        (lambda s, x: (s, jnp.swapaxes(x, 1, 2) @ x), (), jnp.ones((2, 5, 3, 4)), 5),
        (lambda s, x: (s, x @ x.T @ x), (), jnp.ones((2, 5, 4)), 1),
    ],
)
def test_the_number_of_samples(step, state, x_seq, samples):
    assert js.cost.operations(step, state, x_seq).samples == samples


def test_transformations_do_not_change_the_numbers():
    expected = report_of_net().to_dict()
    assert jax.jit(lambda s, x: js.cost.operations(NET, s, x))(STATE, X).to_dict() == expected

    def sample(state, x):  # a batch of one, three times
        return js.cost.operations(NET, state, x)

    split = jax.tree.map(lambda a: a[:, None], STATE), jnp.moveaxis(X, 1, 0)[:, :, None]
    assert jax.vmap(sample)(*split).to_dict() == expected


def test_loops_branches_and_calls():
    @jax.custom_vjp
    def product(x):
        return x @ W

    product.defvjp(lambda x: (x @ W, None), lambda _, g: (g @ W.T,))

    def step(state, x):
        n = x.sum().astype(jnp.int32)
        _, a = lax.scan(lambda c, _: (c, x @ W), 0, length=7)
        _, b = lax.while_loop(lambda c: c[0] < n, lambda c: (c[0] + 1, c[1] + x @ W), (0, a[0]))
        c = lax.cond(n > 6, lambda x: x @ W, lambda x: (x @ W) @ R, x)
        return state, (a, b, c, product(x), jax.checkpoint(product)(x), jax.jit(product)(x))

    report = js.cost.operations(step, (), X)
    turns = np.asarray(X.sum((1, 2)))
    assert (turns > 6).any() and (turns <= 6).any()
    one = (np.not_equal(X, 0) @ np.not_equal(W, 0).astype(float)).sum((1, 2))
    products = 7 + turns + 1 + 3
    assert report.ac == (one * products).sum()
    xw = np.einsum("tni,io->tno", X, W)[turns <= 6]
    assert report.multi + report.mac + report.ac - (one * products).sum() == np.abs(xw).sum() * 6
    assert not report.uncounted


def test_a_cond_of_each_sample_keeps_the_names():
    def sample(w, x):
        return lax.cond(x.sum() > 2, lambda x: x @ w, lambda x: (x @ w) * 2, x)

    def step(params, state, x):
        return state, jax.vmap(sample, in_axes=(None, 0))(params["w"], x)

    report = js.cost.operations(functools.partial(step, {"w": W}), (), X)
    assert {row.name: row.ac for row in report.rows()} == {"w": 2 * by_hand()["w"]}


@pytest.mark.parametrize(
    "options",
    [{"order": "step"}, {"order": "layer"}, {"order": "step", "segment": "sqrt"}],
    ids=str,
)
def test_the_step_of_another_scan(options):
    def outer(state, x):
        return js.scan(NET, state, jnp.stack([x, 1 - x]), **options)

    doubled = jnp.stack([X, 1 - X], 1).reshape(10, 3, 4)
    expected = js.cost.operations(NET, STATE, doubled)
    got = js.cost.operations(outer, STATE, X)
    assert (got.ac, got.dense, got.mac) == (expected.ac, expected.dense, expected.mac)


@pytest.mark.usefixtures("mixed_dtypes")
@pytest.mark.parametrize("dtype", [bool, jnp.int8, jnp.int32, jnp.bfloat16])
def test_spikes_of_any_dtype(dtype):
    def step(state, x):
        return state, lax.dot_general(
            x, W.astype(jnp.bfloat16), (((1,), (0,)), ((), ())), preferred_element_type=jnp.float32
        )

    report = js.cost.operations(step, (), X.astype(dtype))
    assert report.ac == by_hand()["w"] and report.ac == report.effective


def test_a_sequence_beside_numbers_over_time():
    def step(state, x):
        return state, x["gain"] * (x["spikes"] @ W)

    report = js.cost.operations(step, (), {"gain": jnp.ones(5), "spikes": X})
    assert report.samples == 3 and report.ac == by_hand()["w"]


def test_products_of_activations_have_their_line():
    def attention(state, x):
        return state, jnp.einsum("ni,mi->nm", x, x)

    (row,) = js.cost.operations(attention, (), X).rows()
    assert row.name.startswith("activations: dot_general at ") and "test_operations.py" in row.name
    assert row.ac == int(np.einsum("tni,tmi->", X, X))


def test_what_is_made_of_a_parameter_keeps_its_name():
    def step(params, state, x):
        w = params["w"] - params["w"].mean(0)
        return state, x @ (w * params["gain"]).reshape(6, 4).T

    params = {"w": R[:4], "gain": jnp.ones(6)}
    report = js.cost.operations(functools.partial(step, params), (), X)
    assert [row.name for row in report.rows()] == ["w"]


def test_names_are_the_paths_of_the_layers():
    rngs = nnx.Rngs(0)
    inner = js.nn.Sequential(nnx.Linear(6, 5, rngs=rngs), LIF)
    net = js.nn.Sequential(nnx.Linear(4, 6, rngs=rngs), LIF, inner)
    report = js.cost.operations(net, net.init_state((3, 4)), 3 * X)
    names = [row.name.removesuffix(".kernel") for row in report.rows()]
    assert names == ["0", "2.0"]
    assert set(names) < set(js.summary(net, (3, 4)).layers)


def test_nothing_is_dropped():
    def step(state, x):
        return state, jnp.sort(x @ W, axis=-1)

    report = js.cost.operations(step, (), X)
    (name,) = report.uncounted
    assert name.startswith("sort at ") and "test_operations.py" in name
    assert f"not counted: {name}" in str(report)
    assert f"not counted: {name}" in str(js.cost.energy(report))


def test_the_table():
    report = report_of_net()
    lines = str(report).splitlines()
    assert lines[0] == "operations per sample (3 samples, 5 steps)"
    assert lines[1].split() == ["AC", "multi", "MAC", "dense", "sparsity"]
    assert lines[4].split()[0] == "total" and len(lines) == 7
    traced = []
    jax.jit(lambda x: traced.append(repr(js.cost.operations(NET, STATE, x))))(X)
    assert traced == ["Operations(<traced>, parameters=2)"]


def test_the_picture():
    report = report_of_net()
    ax = js.plot.operations(report, ax=Figure().subplots())
    widths = {c.get_label(): [bar.get_width() for bar in c] for c in ax.containers}
    rows = report.rows()
    assert widths["AC"] == [row.ac / 3 for row in rows] and sum(widths["MAC"]) == 0
    assert [label.get_text() for label in ax.get_yticklabels()] == [row.name for row in rows]
    with pytest.raises(TypeError) as e:
        js.plot.operations({})
    assert str(e.value) == (
        "`operations(report=...)` must be a report, got a dict. "
        "Make one: `jaxspike.cost.operations(net, state, x_seq)`."
    )
    with pytest.raises(ValueError) as e:
        js.plot.operations(js.cost.operations(LIF, LIF.init_state((3, 4)), X))
    assert str(e.value) == "`operations(report=...)` must have a product, got none."


def test_a_kernel_is_listed():
    def kernel(x, w, y):
        y[...] = x[...] @ w[...]

    def step(state, x):
        shape = jax.ShapeDtypeStruct((3, 6), jnp.float32)
        return state, pl.pallas_call(kernel, out_shape=shape, interpret=True)(x, W)

    report = js.cost.operations(step, (), X)
    assert not report.products
    assert [name.split()[0] for name in report.uncounted] == ["pallas_call"]


def test_a_spikformer_shows_its_attention():
    neuron = js.LIF(v_threshold=0.3)
    net = js.nn.SpikingSelfAttention(8, 2, neuron=neuron, scale=0.5, rngs=nnx.Rngs(0))
    net.eval()
    x_seq = (jax.random.uniform(jax.random.key(0), (3, 2, 5, 8)) < 0.5).astype(jnp.float32)
    state = net.init_state((2, 5, 8))
    report = js.cost.operations(net, state, x_seq)
    after = "activations after qkv_conv_bn.0.kernel: dot_general at self_attention.py:"
    products = [row for row in report.rows() if row.name.startswith(after)]
    _, qkv = nnx.jit(lambda net: net.qkv_lif(state["qkv_lif"], net.qkv_conv_bn(x_seq)))(net)
    qkv = np.asarray(qkv).reshape(3, 2, 5, 3, 2, 4)
    q, k, v = np.moveaxis(qkv, 3, 0)  # [T, N, L, heads, 4]
    between = np.einsum("tnlhc,tnlhd->tnhcd", k, v) != 0
    expected = [np.einsum("tnlhc,tnlhd->", k, v), np.einsum("tnlhc,tnhcd->", q, between)]
    assert sorted(row.ac for row in products) == sorted(expected) and min(expected) > 0
    assert [row.dense for row in products] == 2 * [3 * 2 * 2 * 5 * 4 * 4]
    names = [row.name for row in report.rows() if row not in products]
    assert names == ["qkv_conv_bn.0.kernel", "proj_conv_bn.0.kernel"]


@pytest.mark.parametrize(
    ("x_seq", "error"),
    [
        (X[:0], "`operations(x_seq=...)` must have at least one time step of data."),
        ((), "`operations(x_seq=...)` must have at least one time step of data."),
        (
            X.at[0].set(jnp.nan),
            "`operations(x_seq=...)` must be finite, got a NaN or an infinity. Find where it comes "
            "from with `js.debug.first_nonfinite`.",
        ),
        (
            {"a": X, "b": X[:2]},
            "`operations(x_seq=...)` must have time as axis 0 of every array, got the shapes "
            "[(5, 3, 4), (2, 3, 4)]. Give `[T, N, *]`.",
        ),
    ],
)
def test_data_that_is_refused(x_seq, error):
    with pytest.raises(ValueError) as e:
        js.cost.operations(NET, STATE, x_seq)
    assert str(e.value) == error


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (
            lambda: js.cost.operations(lambda s, x: x, (), X),
            "`operations(step=...)` must have a step that returns a pair `(state, y)`, got an "
            "array. Return the new state first.",
        ),
        (
            lambda: js.cost.with_operations(lambda s, x: ((), x))(jnp.ones(2), X[0]),
            "`with_operations(step=...)` must have a step that keeps the structure of its state, "
            "got PyTreeDef(()) for PyTreeDef(*). Return a state like the one it is given.",
        ),
        (
            lambda: jax.jit(lambda x: js.cost.operations(NET, STATE, x).ac)(X),
            "`Operations` must be read outside `jax.jit`, got a traced report. Return it from the "
            "compiled function first.",
        ),
        (
            lambda: js.cost.neurobench(report_of_net(), "spikes"),
            "`neurobench(spikes=...)` must be numbers, got <U6. Give what `js.debug.record` "
            "recorded.",
        ),
        (
            lambda: js.cost.neurobench(report_of_net(), X.at[0].set(jnp.nan)),
            "`neurobench(spikes=...)` must be finite, got a NaN or an infinity. Give what "
            "`js.debug.record` recorded.",
        ),
        (
            lambda: js.cost.Lemaire2022([]),
            "`Lemaire2022(spikes=...)` must have the outputs of a neuron, got none. Give what "
            "`js.debug.record` recorded.",
        ),
    ],
)
def test_steps_reports_and_recordings_that_are_refused(call, error):
    with pytest.raises((TypeError, ValueError)) as e:
        call()
    assert str(e.value) == error


def test_nothing_is_not_sparse():
    report = js.cost.operations(LIF, LIF.init_state((3, 4)), X)
    assert (report.connection_sparsity, report.activation_sparsity) == (0, 0)


def test_the_class_is_that_of_the_batch_and_under_vmap_of_each_sample():
    x_seq = jnp.asarray([[[1.0, 0.0], [2.0, 1.0]]])  # spikes, and whole numbers

    def count(x_seq):
        return js.cost.operations(lambda s, x: (s, x @ W[:2]), (), x_seq)

    apart, together = jax.vmap(count, in_axes=1)(x_seq[:, :, None]), count(x_seq)
    fan_out = [int(n) for n in (W[:2] != 0).sum(1)]
    assert (together.ac, together.multi) == (0, 3 * fan_out[0] + fan_out[1])
    assert (apart.ac, apart.multi) == (fan_out[0], 2 * fan_out[0] + fan_out[1])


def test_parameters_and_states_that_are_refused():
    net = functools.partial(recurrent, {"w": W.at[0, 0].set(jnp.nan), "r": R})
    with pytest.raises(ValueError) as e:
        js.cost.operations(net, STATE, X)
    assert str(e.value) == (
        "`operations(step=...)` must have finite parameters, got a NaN or an infinity in w. "
        "Train it again, or load other weights."
    )
    with pytest.raises(ValueError, match=r"^`operations\(state=...\)` must be finite, got a NaN"):
        js.cost.operations(NET, (STATE[0], STATE[1] + jnp.inf), X)
    net = js.nn.Sequential(nnx.Linear(4, 6, rngs=nnx.Rngs(0)), nnx.BatchNorm(6, rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError) as e:
        js.cost.operations(net, net.init_state((3, 4)), X)
    assert str(e.value) == (
        "`operations(step=...)` must not change its variables while it runs, got a change of "
        "1.mean. Use evaluation mode: `net.eval()`."
    )


class TestWithOperations:
    @staticmethod
    def counts(w, x, order):
        step = js.cost.with_operations(functools.partial(recurrent, {"w": w, "r": R}))
        return js.scan(step, STATE, x, order=order)

    def test_it_counts_what_the_report_does(self):
        @jax.jit
        def both(x):
            orders = [self.counts(W, x, order) for order in ("step", "layer")]
            return js.cost.operations(NET, STATE, x), orders, js.scan(NET, STATE, x)

        for x in (X, 3 * X, X - 2 * X[::-1], X + 0.5):
            report, orders, (last, y_seq) = both(x)
            for state, (y, n) in orders:
                np.testing.assert_array_equal(n, sum(report.per_step().values()))
                np.testing.assert_array_equal(y, y_seq)
                assert jax.tree.structure(state) == jax.tree.structure(last)

    def test_its_gradient_is_the_fan_out_of_each_spike(self):
        def loss(w):
            return self.counts(w, X, "layer")[1][1].sum()

        def by_hand(w):
            _, z = js.scan(functools.partial(recurrent, {"w": w, "r": R}), STATE, X)
            return 6 * z[:-1].sum()

        got, want = jax.jit(lambda w: (jax.grad(loss)(w), jax.grad(by_hand)(w)))(R[:4])
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
        assert np.any(got != 0)

    def test_of_a_network(self):
        rngs = nnx.Rngs(0)
        net = js.nn.Sequential(
            nnx.Linear(4, 6, rngs=rngs), js.LIF(v_threshold=0.2), nnx.Linear(6, 2, rngs=rngs), LIF
        )
        state = net.init_state((3, 4))

        @nnx.jit
        @nnx.value_and_grad
        def operations(net):
            return js.cost.with_operations(net)(state, X)[1][1]

        total, grads = operations(net)
        assert total == js.cost.operations(net, state, X).per_sample()["ac"] * 3
        assert np.any(grads["layers"][0]["kernel"][...] != 0)
        assert not np.any(grads["layers"][2]["kernel"][...])
        with pytest.raises(TypeError) as e:
            js.cost.with_operations(3)
        assert str(e.value) == "`with_operations(step=...)` must be a function, got 3."


def test_a_silent_network_is_said():
    with pytest.warns(UserWarning) as w:
        js.cost.operations(NET, STATE, 0 * X)
    assert str(w[0].message) == "`operations`: every activation that reaches w, r is zero."


class TestEnergy:
    report = property(lambda self: report_of_net())

    def test_it_can_be_redone_by_hand(self):
        report = self.report
        energy = js.cost.energy(report)
        assert energy.total == pytest.approx(0.9 * report.ac / 3)
        assert energy.ann == pytest.approx(0.23 * (4 * 6 + 6 * 6))
        chip = js.cost.EnergyModel("a chip", "a data sheet", ac=1.0, mac=5.0, read=2.0, state=3.0)
        energy = js.cost.energy(report, chip)
        assert energy.parts == pytest.approx(
            {
                "AC": report.ac / 3,
                "multi": 0,
                "MAC": 0,
                "weight reads": 2 * 4 * report.ac / 3,
                "state": 3 * 2 * report.state_bytes / 3,
            }
        )
        text = str(energy)
        assert f"total {energy.total:,.1f} pJ" in text and "a data sheet" in text

    def test_the_dense_rules(self):
        report = self.report
        energy = js.cost.energy(report, js.cost.SpikingJellySimple())
        fan_out = 6 * sum(counters.integer(p.nonzeros) for p in report.products.values())
        assert energy.operations["AC"] == fan_out / 3 > report.ac / 3
        assert energy.operations["weight reads"] == 4 * fan_out / 3
        real = js.cost.operations(NET, STATE, X + 0.5)
        energy = js.cost.energy(real, js.cost.SpikingJellySimple())
        assert energy.operations["MAC"] == 5 * 4 * 6

    @pytest.mark.parametrize("name", ["IF", "LIF", "conv"])
    def test_lemaire(self, name):
        arrays, info = golden_files.load("lemaire.npz")
        rngs, neuron = nnx.Rngs(0), {"LIF": js.LIF()}.get(name, js.IF())
        shape = (7, 7, 2) if name == "conv" else (300,)
        if name == "conv":
            conv = nnx.Conv(2, 4, (3, 3), padding="VALID", rngs=rngs)
            layers = conv, neuron, nnx.Conv(4, 3, (1, 1), use_bias=False, rngs=rngs), neuron
        else:
            last = nnx.Linear(40, 5, use_bias=False, rngs=rngs)
            layers = nnx.Linear(300, 40, rngs=rngs), neuron, last, neuron
        weights = {
            k.removeprefix(f"{name}."): v
            for k, v in arrays.items()
            if k.startswith(name) and k.endswith(("weight", "bias"))
        }
        net = js.convert.from_torch(js.nn.Sequential(*layers), weights, shape=(1, *shape))
        state = net.init_state((1, *shape))

        @jax.jit
        def run(x_seq):
            return js.cost.operations(net, state, x_seq), js.debug.record(net, state, x_seq)[2]

        for kind in ("spikes", "real"):
            x_seq = jnp.asarray(arrays[f"{name}.{kind}.x"])
            report, records = run(jnp.moveaxis(x_seq, 2, -1) if name == "conv" else x_seq)
            spikes = [records[layer]["output"] for layer in ("1", "3")]
            assert all(0.05 < s.mean() < 0.8 for s in spikes)
            energy = js.cost.energy(report, js.cost.Lemaire2022(spikes, leaky=name == "LIF"))
            got = dict.fromkeys(("ops", "addressing", "params", "potential", "inout"), 0.0)
            for part, pj in energy.parts.items():
                got[self.component(part)] += pj
            want = {k: info[f"{name}.{kind}"][f"{k}_pj"] for k in got}
            assert got == pytest.approx(want, rel=1e-9)
            assert f"total {energy.total:,.1f} pJ" in str(energy)

    @staticmethod
    def component(part):
        """What SpikingJelly calls the component that a part belongs to."""
        if part in ("AC", "MAC"):
            return "ops"
        last = part.split()[-1]
        return {"weights": "params", "membranes": "potential", "step": "potential"}.get(
            last, "addressing" if part.startswith("address") else "inout"
        )

    def test_weights_that_are_not_parameters_have_no_bytes(self):
        report = js.cost.operations(lambda s, x: (s, x @ W), (), X)
        with pytest.raises(ValueError) as e:
            js.cost.energy(report, js.cost.SpikingJellySimple())
        assert str(e.value) == (
            "`energy(model=...)` with the cost of reading weights must be of parameters of the "
            f"step, got others in {report.rows()[0].name}. Give `js.cost.operations` a network, or "
            "a `functools.partial` of a function over its parameters."
        )

    def test_the_printed_lines_can_be_redone(self):
        net = functools.partial(lambda w, s, x: LIF(s, x @ w), W)
        x_seq = jnp.tile(X, (200, 1, 1))
        report = js.cost.operations(net, STATE[0], x_seq)
        _, spikes = js.scan(net, STATE[0], x_seq)
        for model in (js.cost.SpikingJellySimple(), js.cost.Lemaire2022(spikes)):
            lines = re.findall(
                r"([\d,.]+) (?:bytes |words )?x ([\d.e-]+) pJ = ([\d,.]+) pJ\n",
                str(js.cost.energy(report, model)),
            )
            assert len(lines) > 2
            for n, cost, pj in (map(float, (s.replace(",", "") for s in line)) for line in lines):
                assert abs(n * cost - pj) <= 0.051 + 0.005 * cost

    def test_what_lemaire_does_not_know(self):
        def refused(step, state, x_seq):
            report = js.cost.operations(step, state, x_seq)
            with pytest.raises(ValueError) as e:
                js.cost.energy(report, js.cost.Lemaire2022(x_seq))
            return str(e.value)

        assert refused(NET, STATE, X) == (
            "`energy(model=Lemaire2022(...))` must be of a network of IF and LIF neurons alone, "
            "got 1. Give another model, such as `js.cost.Horowitz45nm()`."
        )
        attention = refused(lambda s, x: (s, x @ x.T), (), X)
        assert "of products of a weight alone, got activations: dot_general at" in attention
        net = functools.partial(lambda w, s, x: (s, jnp.sort(x @ w["w"])), {"w": W})
        assert "of counted equations alone, got sort at" in refused(net, (), X)

    @pytest.mark.parametrize(
        ("call", "error"),
        [
            (
                lambda: js.cost.energy({}),
                "`energy(report=...)` must be an `Operations`, got {}. Call `js.cost.operations`.",
            ),
            (
                lambda: js.cost.energy(report_of_net(), "45nm"),
                "`energy(model=...)` must be an `EnergyModel`, got '45nm'. Give "
                "`js.cost.Horowitz45nm()` or a table of your own.",
            ),
            (
                lambda: js.cost.Horowitz45nm("float64"),
                "`Horowitz45nm(dtype=...)` must be one of ('float32', 'float16', 'int32', 'int8'), "
                "got 'float64'.",
            ),
            (
                lambda: js.cost.EnergyModel("a", "b", ac=-1.0, mac=1.0),
                "`EnergyModel(ac=...)` must be at least 0, got -1.0.",
            ),
            (
                lambda: js.cost.EnergyModel("a", "b", ac=1.0, mac=1.0, dense="no"),
                "`EnergyModel(dense=...)` must be a bool, got 'no'. Give True or False.",
            ),
        ],
    )
    def test_bad_input(self, call, error):
        with pytest.raises((TypeError, ValueError)) as e:
            call()
        assert str(e.value) == error
