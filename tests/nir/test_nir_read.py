"""Graphs read: conventions, cycles, layouts, suspicious and malformed files."""

import copy
import itertools
import sys
import warnings

import h5py
import jax
import jax.numpy as jnp
import nir
import numpy as np
import pytest
from flax import nnx

import jaxspike as js

DT = 1e-3
STEP = js.nir.Convention(dt=DT)


def full(n, value):
    return np.full(n, value, np.float32)


def lif(n, **fields):
    usual = {"tau": full(n, 2e-3), "r": full(n, 1.0), "v_leak": full(n, 0.0)}
    return nir.LIF(**usual | {"v_threshold": full(n, 0.5)} | fields)


def graph(nodes, *edges):
    return nir.NIRGraph(nodes, list(edges), type_check=False)


def chain(*nodes, shape, out=None):
    """Nodes in a row between an Input and an Output."""
    names = ["in", *(f"n{i}" for i in range(len(nodes))), "out"]
    ends = nir.Input(np.array(shape)), nir.Output(np.array(shape if out is None else out))
    nodes = dict(zip(names, [ends[0], *nodes, ends[1]], strict=True))
    return graph(nodes, *itertools.pairwise(names))


def run(net, x, shape=None):
    x = jnp.asarray(x, jnp.float32)
    return nnx.jit(lambda net, s, x: net(s, x)[1])(net, net.init_state(x.shape[1:]), x)


def silent(source, layout="channels_last", **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return js.nir.from_nir(source, js.nir.Convention(dt=DT, **options), layout=layout)


def ones(*charges):
    """A sequence of one neuron."""
    return np.array(charges, np.float32)[:, None, None]


def spikes(node, x, **options):
    return run(silent(chain(node, shape=(1,)), **options), x)[:, 0, 0].tolist()


UNIT = {"r": full(1, 1 / DT), "v_threshold": full(1, 1.0)}  # v += x


@pytest.mark.parametrize(
    ("options", "want"),
    [
        ({}, [0, 1, 0, 0, 1]),  # 1, 1.5 -> 0, 0.5, 1, 3
        ({"fires": ">="}, [1, 0, 1, 0, 1]),  # 1 -> 0, 0.5, 1 -> 0, 0.5, 2.5
        ({"reset": "subtract"}, [0, 1, 0, 1, 1]),  # 1, 1.5 -> 0.5, 1, 1.5 -> 0.5, 2.5
        ({"reset": "subtract_delayed"}, [0, 1, 0, 1, 1]),
        ({"reset": "subtract_once"}, [0, 1, 0, 1, 1]),
        ({"reset": "subtract", "max_spike_count": None, "fires": ">="}, [1, 0, 1, 0, 2]),
        ({"reset": "subtract", "max_spike_count": 1, "fires": ">="}, [1, 0, 1, 0, 1]),
    ],
)
def test_when_a_neuron_fires_and_what_is_left_then(options, want):
    assert spikes(nir.IF(**UNIT), ones(1, 0.5, 0.5, 0.5, 2), **options) == want


def test_what_an_integrator_adds():
    def membrane(r, **options):
        net = silent(chain(nir.I(r=full(1, r)), shape=(1,)), **options)
        return float(run(net, ones(1.0))[0, 0, 0])

    assert membrane(1.0) == pytest.approx(DT)
    assert membrane(1.0, if_convention="per_step") == 1
    node = nir.IF(r=full(1, 1.0), v_threshold=full(1, 0.5))
    with pytest.warns(UserWarning, match=r"node 'n0' \(IF\) has r = 1, taken as 1 per step"):
        js.nir.from_nir(chain(node, shape=(1,)), STEP)
    assert spikes(node, ones(1.0)) == [1]
    assert spikes(node, ones(1.0), if_convention="per_second") == [0]


def test_where_a_neuron_starts():
    node = lif(1, v_leak=full(1, 0.3), v_reset=full(1, 0.1))
    for start, v in ("v_leak", 0.3), ("v_reset", 0.1), ("zero", 0.0), (0.2, 0.2):
        net = js.nir.from_nir(chain(node, shape=(1,)), STEP.replace(start=start))
        assert float(net.init_state((1, 1)).neurons["n0"].v[0, 0]) == pytest.approx(v)


@pytest.mark.parametrize("tau_syn", [1e-3, 4e-3])  # that of the membrane, and another
def test_the_exact_solution(tau_syn):
    """Against Euler steps a thousand times finer."""
    p = {"tau_mem": full(1, 4e-3), "tau_syn": full(1, tau_syn), "r": full(1, 2.0)}
    node = nir.CubaLI(**p, v_leak=full(1, 0.1), w_in=full(1, 1.5))
    x = np.random.default_rng(0).normal(0.5, 1, 8)
    y = run(silent(chain(node, shape=(1,)), method="exact"), ones(*x))[:, 0, 0]
    i, v, h, want = 0.0, 0.1, DT / 1000, []
    for value in x:
        for _ in range(1000):
            v, i = v + h / 4e-3 * (0.1 - v + 2 * i), i + h / tau_syn * (1.5 * value - i)
        want.append(v)
    np.testing.assert_allclose(y, want, atol=2e-3)
    rough = run(silent(chain(node, shape=(1,))), ones(*x))[:, 0, 0]
    assert np.abs(rough - np.array(want)).max() > 0.02


def test_a_cycle_takes_one_step_at_the_neuron():
    nodes = {
        "in": nir.Input(np.array([1])),
        "lif": nir.IF(**UNIT),
        "back": nir.Affine(np.array([[2.0]]), np.array([0.25])),
        "out": nir.Output(np.array([1])),
    }
    edges = [("in", "lif"), ("lif", "back"), ("back", "lif"), ("lif", "out"), ("back", "out")]
    y = run(silent(graph(nodes, *edges)), ones(1, 0, 0, 0, 0))
    # v = 1.25 fires; receives 2.25; fires; ... what leaves the cycle is not delayed: s + 2 s + 0.25
    np.testing.assert_array_equal(y[:, 0, 0], [3.25] * 5)
    y = run(silent(graph(nodes, *edges)), ones(0, 0, 0, 0, 0))
    np.testing.assert_array_equal(y[:, 0, 0], [0.25] * 4 + [3.25])  # the bias acts from the start


def test_in_a_cycle_of_two_the_one_that_closes_it_is_delayed():
    names = {"in": nir.Input, "out": nir.Output}
    nodes = {n: kind(np.array([1])) for n, kind in names.items()}
    nodes |= {"b": nir.IF(**UNIT), "a": nir.IF(**UNIT)}
    edges = [("b", "a"), ("in", "b"), ("b", "out"), ("a", "b")]  # in -> b -> a -> b
    net = silent(graph(nodes, *edges))
    np.testing.assert_array_equal(run(net, ones(2, 0, 0, 0))[:, 0, 0], [1, 0, 0, 0])
    nodes["double"] = nir.Scale(np.array([2.0]))
    edges = [("b", "double"), ("double", "a"), *edges[1:-1], ("a", "double2"), ("double2", "b")]
    nodes["double2"] = nir.Scale(np.array([2.0]))
    net = silent(graph(nodes, *edges))
    np.testing.assert_array_equal(run(net, ones(2, 0, 0, 0))[:, 0, 0], [1, 1, 1, 1])


def test_either_layout_and_the_parameters_in_that_of_flax():
    rng = np.random.default_rng(0)
    conv = nir.Conv2d((4, 5), rng.normal(size=(3, 2, 3, 3)), 1, "same", 1, 1, rng.normal(size=3))
    node = lif((3, 4, 5), v_threshold=rng.uniform(0.2, 1, (3, 4, 5)))
    flat = nir.Flatten(np.array([3, 4, 5]), 0, -1)
    for nodes, out in ((conv, node), (3, 4, 5)), ((conv, node, flat), (60,)):
        source = chain(*nodes, shape=(2, 4, 5), out=out)
        first, last = (silent(source, layout=f"channels_{w}") for w in ("first", "last"))
        assert last["n0"].kernel.shape == (3, 3, 2, 3)
        assert last["n1"].neuron.v_threshold.shape == (4, 5, 3)
        x = rng.normal(0.5, 1, (6, 2, 2, 4, 5))
        y = run(first, x)
        z = run(last, np.moveaxis(x, 2, -1))
        np.testing.assert_array_equal(y, np.moveaxis(z, -1, 2) if len(out) == 3 else z)


@pytest.mark.parametrize("start_dim", [0, 1])
def test_a_flatten_that_counts_the_batch(start_dim):
    nodes = nir.Flatten(None, start_dim, -1), nir.Linear(np.ones((2, 12), np.float32))
    source = chain(*nodes, shape=(3, 2, 2), out=(2,))
    if start_dim:
        with pytest.warns(UserWarning, match=r"'n0' \(Flatten\) has a start_dim that counts the"):
            net = js.nir.from_nir(source)
    else:
        net = js.nir.from_nir(source)
    np.testing.assert_array_equal(run(net, np.ones((1, 1, 2, 2, 3))), [[[12, 12]]])


def test_batch_axes_and_parameters_of_one_value():
    nodes = nir.Linear(np.eye(3)), lif((), tau=np.float32(2e-3)), lif(1)
    want = run(silent(chain(nodes[0], lif(3), lif(3), shape=(3,))), np.ones((5, 2, 3)))
    net = silent(chain(*nodes, shape=(1, 3), out=(1, 1, 3)))
    np.testing.assert_array_equal(run(net, np.ones((5, 2, 3))), want)


def two_inputs():
    """An image and a row that meet in a neuron; spikes are fed back, one step later."""
    rng = np.random.default_rng(0)
    nodes = {
        "row": nir.Input(np.array([3])),
        "image": nir.Input(np.array([2, 2, 3])),
        "flat": nir.Flatten(np.array([2, 2, 3]), 0, -1),
        "from_image": nir.Linear(rng.normal(size=(4, 12)).astype("f4")),
        "from_row": nir.Linear(rng.normal(size=(4, 3)).astype("f4")),
        "lif": lif(4),
        "back": nir.Linear(rng.normal(size=(4, 4)).astype("f4")),
        "out": nir.Output(np.array([4])),
    }
    edges = [("image", "flat"), ("flat", "from_image"), ("from_image", "lif"), ("lif", "out")]
    edges += [("row", "from_row"), ("from_row", "lif"), ("lif", "back"), ("back", "lif")]
    return graph(nodes, *edges)


class Both(js.nn.SpikingModule):
    """A network that was read as a layer of another."""

    def __init__(self, read):
        self.read, self.last = read, js.IF(v_threshold=2.0)

    def __call__(self, state, x):
        read, y = self.read(state["read"], {"image": x["a"], "row": x["b"]})
        last, y = self.last(state["last"], y)
        return {"read": read, "last": last}, y


def test_several_inputs(tmp_path):
    source, rng = two_inputs(), np.random.default_rng(1)
    x = {"image": rng.normal(0.5, 1, (6, 2, 2, 3, 2)), "row": rng.normal(0.5, 1, (6, 2, 3))}
    x = {name: jnp.asarray(value, jnp.float32) for name, value in x.items()}
    shapes = {name: value.shape[1:] for name, value in x.items()}
    net = silent(source)
    state = net.init_state(shapes)
    _, y = nnx.jit(lambda net, state, x: net(state, x))(net, state, x)
    # the same as one Input: both side by side, the image as NIR flattens it
    p = {name: node.weight for name, node in source.nodes.items() if hasattr(node, "weight")}
    weight = np.concatenate([p["from_image"], p["from_row"]], 1)
    rec = {"w": nir.Linear(weight), "lif": lif(4), "back": nir.Linear(p["back"])}
    ends = {"in": nir.Input(np.array([15])), "out": nir.Output(np.array([4]))}
    edges = [("in", "w"), ("w", "lif"), ("lif", "back"), ("back", "lif"), ("lif", "out")]
    one = silent(graph(ends | rec, *edges))
    flat = np.moveaxis(x["image"], -1, 2).reshape(6, 2, 12)
    want = run(one, np.concatenate([flat, x["row"]], -1))
    assert 0 < want.mean() < 1
    np.testing.assert_array_equal(y, want)
    # step by step, written and read again, and in another network
    _, first = net(state, {name: value[0] for name, value in x.items()})
    np.testing.assert_array_equal(first, want[0])
    sample = {name: shape[1:] for name, shape in shapes.items()}
    js.nir.to_nir(net, sample, path=tmp_path / "net.nir")
    again = silent(tmp_path / "net.nir")
    np.testing.assert_array_equal(again(again.init_state(shapes), x)[1], want)
    both, inputs = Both(net), {"a": x["image"], "b": x["row"]}
    sample = {"a": shapes["image"], "b": shapes["row"]}
    _, y = both(both.init_state(sample), inputs)
    assert np.any(y)
    outer = js.nir.from_nir(js.nir.to_nir(both, {n: s[1:] for n, s in sample.items()}, dt=DT))
    np.testing.assert_array_equal(outer(outer.init_state(sample), inputs)[1], y)
    must = r"must be a dictionary of {} for the Inputs \['image', 'row'\], got {}\."
    with pytest.raises(ValueError, match=must.format("shapes", "tuple")):
        net.init_state((2, 3))
    with pytest.raises(ValueError, match=must.format("shapes", r"\['image'\]")):
        net(state, {"image": x["image"]})
    with pytest.raises(ValueError, match="must have the same batch in all Inputs, got"):
        net.init_state(shapes | {"row": (5, 3)})
    with pytest.raises(ValueError, match="of the shapes of one step; time is axis 0, batch 1"):
        net(state, {name: value[:, :1] for name, value in x.items()})


def test_delays_of_each_neuron():
    axons = nir.Delay(np.array([0.0, 1e-3, 3e-3]))
    y = run(silent(chain(axons, shape=(3,))), np.arange(1, 6.0)[:, None, None] * np.ones(3))
    np.testing.assert_array_equal(y[:, 0].T, [[1, 2, 3, 4, 5], [0, 1, 2, 3, 4], [0, 0, 0, 1, 2]])
    with pytest.warns(
        UserWarning, match=r"'n0' \(Delay\) has a delay that is not a multiple of dt"
    ):
        js.nir.from_nir(chain(nir.Delay(full(3, 1.4e-3)), shape=(3,)), STEP)


def test_a_network_like_any_other():
    rng = np.random.default_rng(0)
    nodes = {
        "in": nir.Input(np.array([3])),
        "w": nir.Affine(rng.normal(size=(4, 3)), full(4, 0.1)),
        "lif": lif(4),
        "rec": nir.Linear(rng.normal(size=(4, 4))),
        "spike": nir.Threshold(full(4, 0.5)),
        "out": nir.Output(np.array([4])),
        "all": nir.Output(np.array([4])),
    }
    edges = [("in", "w"), ("w", "lif"), ("lif", "rec"), ("rec", "lif"), ("lif", "spike")]
    net = js.nir.from_nir(graph(nodes, *edges, ("spike", "out"), ("w", "all")), STEP)
    state, x = net.init_state((2, 3)), jnp.asarray(rng.normal(1, 1, (6, 2, 3)), jnp.float32)

    def close(a, b):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)

    @nnx.jit
    def everything(net, state, x):
        def loss(net):
            return net(state, x)[1]["out"].mean()

        outs = [net(state, x), js.scan(net, state, x), js.scan(net, state, x, order="step")]
        return outs, nnx.grad(loss)(net), net(state, x[0])

    outs, grads, one = everything(net, state, x)
    for out in outs[1:]:
        jax.tree.map(close, out, outs[0])
    jax.tree.map(close, one[1], {k: y[0] for k, y in outs[0][1].items()})
    leaves = jax.tree.leaves(grads)
    assert len(leaves) == 3 and all(np.any(leaf != 0) for leaf in leaves)
    assert net["w"].kernel.shape == (3, 4)
    with pytest.raises(KeyError, match="is not a node"):
        net["nope"]
    with pytest.raises(ValueError, match=r"one step of input, \(N, 3\), got \(2, 4\)"):
        net.init_state((2, 4))


WARNED = [
    ([lif(3, tau=full(3, 5e-4))], r"'n0' \(LIF\) has tau=0.0005 below dt=0.001"),
    ([lif(3, r=full(3, 7.0))], r"'n0' \(LIF\) has r=7, where libraries write 1 and tau / dt"),
    ([nir.IF(r=full(3, 7.0), v_threshold=full(3, 1))], r"'n0' \(IF\) has r=7, where"),
]


@pytest.mark.parametrize(("nodes", "sentence"), WARNED)
def test_suspicious_graphs_are_warned_about(nodes, sentence):
    with pytest.warns(UserWarning, match=sentence):
        js.nir.from_nir(chain(*nodes, shape=(3,)), STEP)


def test_a_node_that_leads_nowhere_is_left_out():
    source = chain(lif(3), shape=(3,))
    source.nodes["watch"] = lif(3)
    source.edges.append(("n0", "watch"))
    with pytest.warns(UserWarning, match=r"'watch' \(LIF\) leads to no Output and is left out"):
        assert "watch" not in js.nir.from_nir(source, STEP).names


IN, OUT = nir.Input(np.array([3])), nir.Output(np.array([3]))
MALFORMED = [
    (graph({"n": lif(3), "out": OUT}, ("n", "out")), "must have an Input node, got the nodes"),
    (graph({"in": IN, "n": lif(3)}, ("in", "n")), "must have an Output node, got the nodes"),
    (chain(lif(3), shape=(4,)), "the node 'n0' (LIF) must have one tau for all, or one for each"),
    (chain(nir.Linear(np.ones((2, 4))), shape=(3,)), "the node 'n0' (Linear) must get (4,)"),
    (chain(lif(3), shape=(3,), out=(5,)), "the node 'out' (Output) must get its shape (5,)"),
    (chain(lif(3, tau=full(3, 0)), shape=(3,)), "the node 'n0' (LIF) must have tau greater than 0"),
    (chain(lif(3, v_leak=full(3, np.nan)), shape=(3,)), "must have no NaN in v_leak, got one"),
    (
        chain(lif(3, r=np.array([1, -np.inf, 1])), shape=(3,)),
        "must have finite numbers as r, got -inf",
    ),
    (
        chain(nir.Linear(full((3, 3), np.nan)), shape=(3,)),
        "the node 'n0' (Linear) must have finite real numbers as weight, got others, of float32",
    ),
    (
        chain(nir.Delay(full(3, 5.0e3)), shape=(3,)),
        "must have delays of at most 10000 steps of 0.001, got 5000. Check its unit and `dt`.",
    ),
    (graph({"in": IN, "out": OUT}, ("in", "out"), ("in", "out")), "must have every edge once"),
    (graph({"in": IN, "out": OUT}, ("in", "x")), "got ('in', 'x') in the graph, where there is no"),
    (graph({"in": IN, "out": OUT}, ("out", "in")), "got ('out', 'in') in the graph: 0 ways out of"),
    (
        graph({"in": IN, "x": lif(3), "out": OUT}, ("x", "out")),
        "'x' (LIF) must be reached",
    ),
    (lif(3), "must be a NIRGraph, got a node 'LIF'"),
    (
        graph(
            {"in": IN, "a": nir.Scale(full(3, 1)), "b": nir.Scale(full(3, 1)), "out": OUT},
            *[("in", "a"), ("a", "b"), ("b", "a"), ("b", "out")],
        ),
        "must have a neuron in every cycle, got a -> b -> a.",
    ),
]


@pytest.mark.parametrize(("source", "sentence"), MALFORMED)
def test_malformed_graphs_are_refused(source, sentence):
    with pytest.raises(ValueError) as e:
        silent(source)
    assert sentence in str(e.value)


def put(path, value):
    def change(root):
        if path in root:
            del root[path]
        if value is not None:
            root[path] = value

    return change


DAMAGED = [
    (put("nodes/n0/tau", None), "must have the fields tau, r, v_leak, v_threshold, got no tau"),
    (put("nodes/n0/tau", "long"), "the node 'n0' (LIF) must have numbers as tau, got 'long'"),
    (put("nodes/n0/type", None), "must have a type at every node, got none at 'n0'"),
    (put("nodes/n0/type", "Foo"), "must have nodes that NIR knows, got 'Foo' at 'n0'"),
    (put("nodes", None), "must have nodes and edges, got ['edges', 'type'] in the graph"),
    (put("edges", np.ones(2)), "must have edges that are pairs of names, got 1.0 in the graph"),
    (put("edges", np.array([[b"\xff", b"n0"]])), "('�', 'n0') in the graph, where there is no"),
    (put("edges", np.array([[b"a"] * 3])), "must have edges that are pairs of names, got [b'a'"),
]


@pytest.mark.parametrize(("change", "sentence"), DAMAGED)
def test_damaged_files_are_refused(change, sentence, tmp_path):
    nir.write(tmp_path / "net.nir", chain(lif(3), shape=(3,)))
    with h5py.File(tmp_path / "net.nir", "a") as file:
        change(file["node"])
    with pytest.raises(ValueError) as e:
        js.nir.from_nir(tmp_path / "net.nir")
    assert sentence in str(e.value)


def test_what_is_no_file_of_nir_is_refused(tmp_path):
    path = tmp_path / "net.nir"
    with pytest.raises(FileNotFoundError, match="must be a NIRGraph or an existing file, got"):
        js.nir.from_nir(path)
    path.write_bytes(b"hello")
    with pytest.raises(ValueError, match=r"net.nir': HDF5 cannot read it \(.*signature not found"):
        js.nir.from_nir(path)
    nir.write(path, chain(lif(3), shape=(3,)))
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(ValueError, match=r"net.nir': HDF5 cannot read it \(.*truncated"):
        js.nir.from_nir(str(path))
    with h5py.File(path, "w"):
        pass
    with pytest.raises(ValueError, match="which has no group 'node'"):
        js.nir.from_nir(path)
    with pytest.raises(TypeError, match="must be a NIRGraph or the path of a file, got 3"):
        js.nir.from_nir(3)


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("fires", ">>", "`Convention(fires=...)` must be one of ('>', '>='), got '>>'."),
        ("method", "rk4", "`Convention(method=...)` must be one of ('euler', 'exact'), got 'rk4'."),
        ("dt", -1.0, "`Convention(dt=...)` must be greater than 0, got -1.0."),
        ("dt", np.inf, "`Convention(dt=...)` must be finite, got inf."),
        ("dt", "1 ms", "`Convention(dt=...)` must be a number, got '1 ms'. Give a float."),
        ("start", np.nan, "`Convention(start=...)` must be finite, got nan."),
        ("start", "rest", "must be one of ('v_leak', 'v_reset', 'zero'), got 'rest'."),
        ("max_spike_count", 0, "`Convention(max_spike_count=...)` must be at least 1, got 0."),
    ],
)
def test_unknown_conventions(field, value, sentence):
    with pytest.raises((TypeError, ValueError)) as e:
        js.nir.Convention(**{field: value})
    assert sentence in str(e.value)


def test_unknown_options():
    source = chain(lif(3), shape=(3,))
    must = r"must be one of \('channels_last', 'channels_first'\), got 'NCHW'."
    with pytest.raises(ValueError, match=must):
        js.nir.from_nir(source, layout="NCHW")
    must = r"`from_nir\(convention=...\)` must be a Convention, got 0.001. Give such as"
    with pytest.raises(TypeError, match=must):
        js.nir.from_nir(source, 1e-3)


def test_a_missing_package_is_an_error_at_use(monkeypatch, tmp_path):
    path = tmp_path / "net.nir"
    js.nir.to_nir(js.LIF(), (3,), path=path)
    monkeypatch.setitem(sys.modules, "nir", None)
    monkeypatch.setitem(sys.modules, "h5py", None)
    install = r"Install it: `pip install 'jaxspike\[nir\]'`"
    with pytest.raises(ImportError, match=f"`from_nir` needs the package h5py. {install}"):
        js.nir.from_nir(path)
    for call in (
        lambda: js.nir.to_nir(js.LIF(), (3,)),
        lambda: js.nir.to_data(np.ones((2, 1, 3)), dt=DT),
    ):
        with pytest.raises(ImportError, match=f"needs the package nir. {install}"):
            call()


def test_every_public_name_is_explained():
    names = ("from_nir", "to_nir", "from_data", "to_data", "Graph", "NIRNeuron", "Convention")
    for name in names:
        assert ">>> " in getattr(js.nir, name).__doc__


def test_a_reset_above_the_threshold_is_refused():
    node = nir.IF(r=full(2, 1 / DT), v_threshold=full(2, 1.0), v_reset=np.array([0.0, 1.0]))
    must = r"the node 'n0' \(IF\) must have v_threshold greater than v_reset, got 1 with v_reset 1"
    with pytest.raises(ValueError, match=must):
        js.nir.from_nir(chain(node, shape=(2,)), STEP)
    js.nir.from_nir(chain(node, shape=(2,)), STEP.replace(reset="subtract"))


def test_a_chain_of_any_length_and_nothing_that_contains_itself():
    twice = [nir.Scale(full(2, 2.0)), nir.Scale(full(2, 0.5))]
    net = silent(chain(*twice * 600, nir.Scale(full(2, 3.0)), shape=(2,)))
    x = jnp.asarray([[0.5, 2.0]])
    np.testing.assert_array_equal(net(net.init_state((1, 2)), x)[1], 3 * x)
    inner = chain(lif(2), shape=(2,))
    graph = chain(lif(2), shape=(2,))
    graph.nodes["inner"], inner.nodes["outer"] = inner, graph
    with pytest.raises(ValueError, match=r"must not contain itself, got itself at 'inner\.outer'"):
        js.nir.from_nir(graph)
    deep = chain(lif(2), shape=(2,))
    for _ in range(100):
        outer = chain(lif(2), shape=(2,))
        outer.nodes["in"], deep = deep, outer
    with pytest.raises(
        ValueError, match="must have graphs in graphs at most 100 deep, and at most"
    ):
        js.nir.from_nir(deep)
    graph = chain(lif(2), shape=(2,))
    graph.nodes["n"] = 3
    with pytest.raises(ValueError, match="must have nodes of the package nir, got 3 at 'n'"):
        js.nir.from_nir(graph)


@pytest.mark.parametrize(
    ("nodes", "sentence"),
    [
        ([nir.Linear(np.full((2, 2), 1e300))], "must have numbers that float32 holds as weight"),
        ([nir.Linear(np.full((2, 2), np.nan))], "must have finite real numbers as weight"),
        (
            [nir.Affine(np.eye(2), np.full(2, -1e39))],
            "must have numbers that float32 holds as bias, got -1e+39",
        ),
        (
            [nir.Scale(np.full(2, 1e300))],
            "must have numbers that float32 holds as scale, got 1e+300",
        ),
        ([lif(2, r=np.full(2, 1e300))], "must have numbers that float32 holds as r, got 1e+300"),
        (
            [lif(2, tau=np.full(2, 1e-300))],
            "must have parameters of moderate size, got v_decay=-1e+297",
        ),
    ],
)
def test_what_float32_does_not_hold_is_refused(nodes, sentence):
    with warnings.catch_warnings(), pytest.raises(ValueError) as e:
        warnings.simplefilter("ignore", UserWarning)
        js.nir.from_nir(chain(*nodes, shape=(2,)), STEP)
    assert sentence in str(e.value)


def test_shapes_of_a_file_have_a_limit():
    graph = chain(lif(1), shape=(2**20, 2**20))
    with pytest.raises(ValueError, match="must have at most 268435456 values in a sample, got the"):
        js.nir.from_nir(graph, STEP)


class Tree:
    """A graph that is nothing but its dictionary."""

    def __init__(self, tree):
        self.tree = tree

    def to_dict(self):
        return self.tree


ODD = (None, "x", {}, {"a": 1}, [], 3, -1, 2**70, 1e300, np.nan, np.zeros((0, 3)), 1 + 2j)
ODD += (full((2, 3, 4), 1.0), np.array([b"x"], object), np.array(["LIF", "LIF"]), "NIRGraph")


@pytest.mark.parametrize("seed", range(3))
def test_malformed_graphs_are_errors_of_from_nir(seed):
    """Any entry of a graph replaced by anything."""
    rng = np.random.default_rng(seed)
    graph = js.nir.to_nir(js.nn.Sequential(js.LIF(v_reset=None), js.ALIF()), (3,), lossy=True)
    tree = copy.deepcopy(graph.to_dict())
    places = [(tree, key) for key in tree]
    for holder, key in places:  # which grows
        inside = holder[key]
        places += [(inside, k) for k in inside] if isinstance(inside, dict) else []
    n_refused = 0
    for i in rng.permutation(len(places))[:25]:
        holder, key = places[i]
        kept, holder[key] = holder[key], ODD[rng.integers(len(ODD))]
        try:
            silent(Tree(tree))
        except (TypeError, ValueError) as e:
            assert str(e).startswith("`from_nir(")
            n_refused += 1
        holder[key] = kept
    assert 5 < n_refused < 25
    silent(Tree(tree))
