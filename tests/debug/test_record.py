"""Recording: what the layers of a network did, without touching the network."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxspike as js

T, N, C = 4, 3, 5


class Block(js.nn.SpikingModule):
    """A composite with a skip, a neuron, and a module that is scanned with its neuron inside."""

    def __init__(self, rngs):
        self.linear = nnx.Linear(C, C, rngs=rngs)
        self.lif = js.LIF(v_threshold=0.5)
        self.recurrent = js.nn.Recurrent(js.IF(), nnx.Linear(C, C, rngs=rngs))

    def __call__(self, state, x):
        lif, y = self.lif(state["lif"], self.linear(x))
        recurrent, z = self.recurrent(state["recurrent"], x=y)
        return {"lif": lif, "recurrent": recurrent}, y + z


class Own(js.nn.SpikingModule):
    """A module with a state of its own, and a network inside, run by a `sequence` of its own."""

    def __init__(self, rngs):
        self.inner = js.nn.Sequential(nnx.Linear(C, C, rngs=rngs), js.LIF(v_threshold=0.2))

    def init_state(self, shape, dtype=jnp.float32):
        return {"trace": jnp.zeros(shape, dtype), "inner": self.inner.init_state(shape, dtype)}

    def __call__(self, state, x):
        inner, y = self.inner(state["inner"], x + state["trace"])
        return {"trace": 0.5 * state["trace"] + y, "inner": inner}, y

    def sequence(self, state, xs):
        return js.scan(lambda s, x: Own.__call__.__wrapped__(self, s, x), state, xs)


def build():
    rngs = nnx.Rngs(0)
    return js.nn.Sequential(
        nnx.Linear(C, C, rngs=rngs), js.LIF(), Block(rngs), Own(rngs), nnx.BatchNorm(C, rngs=rngs)
    )


NEURONS = ["1", "2.lif", "2.recurrent.neuron", "3.inner.1"]


@pytest.fixture(scope="module")
def net():
    return build()


@pytest.fixture(scope="module")
def x_seq():
    return 4 * jax.random.normal(jax.random.key(0), (T, N, C))


def by_hand(net, x):
    """Spikes and membranes of the four neurons, one step after the other, from their parts."""
    first, lif, block, own = net.layers[:4]
    inner, neuron = own.inner.layers
    models = (lif.neuron, block.lif.neuron, js.IF(), neuron.neuron)
    neurons = dict(zip(NEURONS, models, strict=True))
    states = {name: neuron.init_state((N, C)) for name, neuron in neurons.items()}
    y, trace, out = jnp.zeros((N, C)), jnp.zeros((N, C)), {n: [] for n in NEURONS}

    def run(name, x):
        states[name], s = neurons[name](states[name], x)
        out[name].append((x, s, states[name].v))
        return s

    for x_t in x:
        a = run("1", first(x_t))
        b = run("2.lif", block.linear(a))
        y = run("2.recurrent.neuron", b + block.recurrent.feedback(y))
        c = run("3.inner.1", inner(b + y + trace))
        trace = 0.5 * trace + c
    return {name: [jnp.stack(a) for a in zip(*rows, strict=True)] for name, rows in out.items()}


@pytest.fixture(scope="module")
def recorded(net, x_seq):
    @nnx.jit
    def run(net, x_seq):
        state = net.init_state((N, C))
        fields = ("output", "v", "input", "state")
        record = js.debug.record(net, state, x_seq, fields=fields)
        return record, net(state, x_seq), by_hand(net, x_seq)

    return run(net, x_seq)


def test_records_are_what_every_neuron_did(recorded):
    (_, _, records), _, want = recorded
    assert list(records) == NEURONS  # in the order in which they run
    for name, (x, spikes, v) in want.items():
        np.testing.assert_allclose(records[name]["input"], x, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(records[name]["output"], spikes)
        np.testing.assert_allclose(records[name]["v"], v, rtol=1e-5, atol=1e-5)
        assert 0 < spikes.mean() < 0.9
        np.testing.assert_array_equal(records[name]["state"].v, records[name]["v"])


def test_the_result_is_that_of_the_network(recorded):
    (state, y, _), (want_state, want), _ = recorded
    np.testing.assert_array_equal(y, want)
    jax.tree.map(np.testing.assert_array_equal, state, want_state)


def test_the_network_stays_as_it_is(x_seq):
    net = build()
    net.train()
    graph, before = nnx.graphdef(net), jax.tree.map(np.array, nnx.state(net))
    state = net.init_state((N, C))
    nnx.jit(lambda net, x: js.debug.record(net, state, x)[2])(net, x_seq)
    with pytest.raises(ValueError, match="fields"):
        jax.eval_shape(lambda x: js.debug.record(net, state, x, fields="u"), x_seq)
    assert nnx.graphdef(net) == graph
    jax.tree.map(np.testing.assert_array_equal, nnx.state(net), before)


def test_the_gradient_goes_through_a_record(net, x_seq):
    state = net.init_state((N, C))

    @nnx.jit
    def gradients(net):
        def recorded(net):
            records = js.debug.record(net, state, x_seq)[2]
            return sum(r["output"].mean() for r in records.values())

        def by_parts(net):
            return sum(spikes.mean() for _, spikes, _ in by_hand(net, x_seq).values())

        return nnx.grad(recorded)(net), nnx.grad(by_parts)(net)

    got, want = map(nnx.to_pure_dict, gradients(net))
    assert np.any(want["layers"][0]["kernel"] != 0)
    assert np.any(want["layers"][2]["recurrent"]["feedback"]["kernel"] != 0)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), got, want)


def test_a_scan_of_a_recorded_step_is_a_recorded_sequence(net, x_seq, recorded):
    net.eval()

    @nnx.jit
    def run(net):
        def step(state, x):
            state, _, records = js.debug.record(net, state, x, layers=("2.lif", "3.inner.1"))
            return state, records

        return js.scan(step, net.init_state((N, C)), x_seq, order="step")[1]

    for name, record in run(net).items():
        np.testing.assert_array_equal(record["output"], recorded[0][2][name]["output"])
    net.train()


def test_layers_are_chosen_by_path_and_type(net, x_seq):
    def names(*layers, fields="output"):
        records = []  # only traced: what is in them is the same for one step
        jax.eval_shape(
            lambda x: records.append(
                js.debug.record(build(), state, x, layers=layers, fields=fields)[2]
            ),
            x_seq[0],
        )
        return {name: set(r) for name, r in records[0].items()}

    state, both = net.init_state((N, C)), ("output", "trace")
    assert list(names("2.recurrent", "0", js.IF)) == ["0", "2.recurrent", "2.recurrent.neuron"]
    assert list(names(nnx.Linear, js.nn.Recurrent)) == [
        *("0", "2.linear", "2.recurrent", "2.recurrent.feedback", "3.inner.0")
    ]
    assert names(Own, js.LIF, fields=both) == {
        "1": {"output"},
        "2.lif": {"output"},
        "3": {"output", "trace"},
        "3.inner.1": {"output"},
    }
    assert list(names("Sequential")) == ["Sequential"]


def test_a_layer_that_runs_twice_has_two_records(x_seq):
    linear, lif = nnx.Linear(C, C, rngs=nnx.Rngs(0)), js.nn.Spiking(js.LIF())
    net = js.nn.Sequential(linear, lif, linear, lif)
    state = net.init_state((N, C))
    _, y, records = js.debug.record(net, state, x_seq)
    assert list(records) == ["1", "1#2"]
    np.testing.assert_array_equal(records["1#2"]["output"], y)
    np.testing.assert_array_equal(records["1"]["output"], lif(state[1], linear(x_seq))[1])


def test_many_layers_keep_their_order_through_jit():
    net = js.nn.Sequential(*[js.IF() for _ in range(12)])
    state = net.init_state((N, C))
    run = nnx.jit(lambda net, x: js.debug.record(net, state, x)[2])
    assert list(run(net, jnp.ones((N, C)))) == [str(i) for i in range(12)]


def test_sequence_neurons_and_sequences_of_ones_own(x_seq):
    psn = js.PSN.init(T, key=jax.random.key(0))
    net = js.nn.Sequential(js.nn.Dropout(0.5, rngs=nnx.Rngs(0)), psn, js.Delay(2))
    state = net.init_state((N, C))
    _, y, records = js.debug.record(net, state, x_seq, fields=("output", "state"))
    want = net(state, x_seq)[1]  # the keys of the copy are those that the network draws now
    np.testing.assert_array_equal(y, want)
    np.testing.assert_array_equal(records["2"]["output"], want)
    late = records["2"]["state"]  # after two steps in the ring the first row is written over
    np.testing.assert_array_equal(late.buffer[0, ..., 0], records["1"]["output"][0])


class Rematerialised(js.nn.SpikingModule):
    def __init__(self, remat):
        self.remat, self.lif = remat, js.LIF()

    def __call__(self, state, x):
        lif, y = self.remat(lambda lif, s, x: lif(s, x))(self.lif, state["lif"], x)
        return {"lif": lif}, y


def test_a_layer_inside_a_transformation(x_seq):
    net = Rematerialised(nnx.remat)
    state = net.init_state((N, C))
    _, y, records = js.debug.record(net, state, x_seq)
    np.testing.assert_array_equal(records["lif"]["output"], y)

    def closed(f):
        return lambda lif, s, x: jax.jit(lambda s, x: f(lif, s, x))(s, x)

    with pytest.raises(TypeError) as error:
        js.debug.record(Rematerialised(closed), state, x_seq)
    assert str(error.value) == (
        "`record(net=...)` must call no layer inside a transformation of JAX, got Cannot mutate "
        "'Spiking' from different trace level. Use `flax.nnx.jit` or `flax.nnx.remat` instead, and "
        "give a module that scans its layers an `init_state`."
    )


class Reports(js.nn.SpikingModule):
    """Returns what its neurons did beside its output, for a loss."""

    def __init__(self, net, fields=("output", "v"), **options):
        self.net, self.fields, self.options = net, fields, options

    def __call__(self, state, x):
        inside = js.debug.record(self.net, state["net"], x, fields=self.fields, **self.options)
        new, y, records = inside
        return {"net": new}, {"y": y, "records": dict(records)}


def test_a_module_that_records_is_recorded(net, x_seq, recorded):
    (state, y, records), _, _ = recorded
    outer = Reports(net)
    start = outer.init_state((N, C))  # traces layers whose neurons run inside one step
    twice = nnx.jit(lambda net, x: js.debug.record(net, start, x, fields=("output", "input")))
    new, out, outside = twice(outer, x_seq)
    jax.tree.map(np.testing.assert_array_equal, (new, out["y"]), ({"net": state}, y))
    assert list(outside) == [f"net.{name}" for name in NEURONS]
    for name in NEURONS:
        for field in ("output", "v"):
            np.testing.assert_array_equal(out["records"][name][field], records[name][field])
        for field in ("output", "input"):
            np.testing.assert_array_equal(outside[f"net.{name}"][field], records[name][field])
    rows = js.summary(outer, start, x_seq).layers
    assert list(rows)[:2] == ["net.0", "net.1"]
    assert rows["net.1"].rate == pytest.approx(float(records["1"]["output"].mean()))


def test_a_record_that_updates_the_network(x_seq):
    def values(net):
        key, leaves = jax.random.key(0).dtype, jax.tree.leaves(nnx.state(net))
        return [np.array(jax.random.key_data(a) if a.dtype == key else a) for a in leaves]

    def make():
        rngs = nnx.Rngs(0)
        layers = (nnx.BatchNorm(C, rngs=rngs), js.nn.Dropout(0.5, rngs=rngs), js.IF())
        return js.nn.Sequential(*layers)

    plain, updated, kept = make(), make(), make()
    state = plain.init_state((N, C))
    run = nnx.jit(lambda net, x, s: net(s, x)[1])
    want, before = run(plain, x_seq, state), values(kept)
    for net, update in ((updated, True), (kept, False)):
        net = Reports(net, ("output",), update=update)
        np.testing.assert_array_equal(run(net, x_seq, {"net": state})["y"], want)
    jax.tree.map(np.testing.assert_array_equal, values(updated), values(plain))
    jax.tree.map(np.testing.assert_array_equal, values(kept), before)
    assert np.any(nnx.state(plain)["layers"][0]["mean"][...] != 0)


@pytest.mark.parametrize(
    "neuron",
    [
        js.LIF(tau=1.5, v_reset=-0.3),
        js.IF(v_reset=None, surrogate=js.surrogate.StraightThrough()),
        js.nn.Spiking(js.LIF(), learn=("v_threshold",)),
        js.Refractory(js.IF(v_reset=None), steps=2),
        js.DiscreteLIF(v_decay=0.75, reset_time="before_charge"),
        js.DiscreteLIF(v_decay=0.75, v_reset=None, reset_time="immediate_once"),
    ],
)
def test_the_membrane_before_the_reset(neuron, x_seq):
    net = js.nn.Sequential(neuron)
    state = net.init_state((N, C))
    _, _, records = js.debug.record(net, state, x_seq, fields=("output", "v", "h"))
    spikes, v, h = (np.asarray(records["0"][field]) for field in ("output", "v", "h"))
    resting = np.zeros_like(spikes, bool)  # a frozen membrane may stand above the threshold
    for back in (1, 2) if isinstance(neuron, js.Refractory) else ():
        resting[back:] |= spikes[:-back] != 0
    assert 0 < spikes.mean() < 0.9
    np.testing.assert_array_equal(spikes, (h >= 1) & ~resting)
    if (
        getattr(neuron, "reset_time", "") == "before_charge"
    ):  # its state is the membrane before the reset
        np.testing.assert_array_equal(h, v)
        return
    resets = getattr(neuron, "v_reset", 0.0 if isinstance(neuron, js.nn.Spiking) else None)
    after = h - spikes if resets is None else np.where(spikes, resets, h)
    np.testing.assert_array_equal(v, after.astype(np.float32))


def test_the_gradient_of_the_membrane_before_the_reset_passes_no_spike_of_its_step():
    net = js.nn.Sequential(js.IF(v_reset=None, surrogate=js.surrogate.StraightThrough()))

    def h(x):
        return js.debug.record(net, net.init_state((1, 1)), x, fields="h")[2]["0"]["h"][-1].sum()

    # d h_2 / d x_2 = 1; d v_1 / d h_1 = 1 - ds/dh * v_threshold = 0
    np.testing.assert_array_equal(jax.grad(h)(jnp.full((2, 1, 1), 0.7))[:, 0, 0], [0.0, 1.0])


def test_threads_do_not_meet(x_seq):
    nets = [js.nn.Sequential(js.LIF(v_threshold=0.2 * (i + 1))) for i in range(4)]
    found = {}

    def run(i):
        state = nets[i].init_state((N, C))
        found[i] = js.debug.record(nets[i], state, x_seq)[2]["0"]["output"]

    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    [t.start() for t in threads], [t.join() for t in threads]
    for i, net in enumerate(nets):
        want = js.scan(net.layers[0].neuron, net.init_state((N, C))[0], x_seq)[1]
        np.testing.assert_array_equal(found[i], want)


@pytest.mark.parametrize(
    ("change", "kind", "sentence"),
    [
        (
            {"layers": "9"},
            ValueError,
            "`record(layers=...)` must be paths or types of layers, got '9'. "
            "Its neurons are: 1, 2.lif, 2.recurrent.neuron, 3.inner.1.",
        ),
        (
            {"layers": js.ALIF},
            ValueError,
            "`record(layers=...)` must be paths or types of layers, got ALIF. "
            "Its neurons are: 1, 2.lif, 2.recurrent.neuron, 3.inner.1.",
        ),
        (
            {"fields": ("v", "u")},
            ValueError,
            "`record(fields=...)` must be one of ('output', 'input', 'state', 'h', 'v'), got 'u'.",
        ),
        (
            {"net": js.LIF()},
            TypeError,
            "`record(net=...)` must be a SpikingModule, got a LIF. For a neuron or a function, "
            "scan a step that returns `(state, (spikes, state.v))`.",
        ),
    ],
)
def test_errors(net, x_seq, change, kind, sentence):
    arguments = {"net": net, "state": net.init_state((N, C)), "x": x_seq} | change
    with pytest.raises(kind) as error:
        jax.eval_shape(lambda: js.debug.record(**arguments)[1])
    assert str(error.value) == sentence
