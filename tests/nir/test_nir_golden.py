"""The recorded results of other libraries for their NIR files, and the traces of the NIR paper."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from golden_files import load

import jaxspike as js

LIBRARIES = {
    name: load(f"nir_{name}.npz") for name in ("snntorch", "norse", "spikingjelly", "sinabs")
}
CASES = [(name, case) for name, (_, info) in LIBRARIES.items() for case in info["cases"]]
CONVENTIONS = {name: getattr(js.nir, name.upper()) for name in LIBRARIES}
PAPER, _ = load("nir_paper.npz")


@nnx.jit
def sequence(net, state, xs):
    return jax.lax.scan(lambda s, x: net(s, x), state, xs)[1]  # quicker to compile than `js.scan`


def read(tmp_path, data, convention=None, **options):
    (tmp_path / "file.nir").write_bytes(data.tobytes())
    with warnings.catch_warnings():  # some libraries write what others would not
        warnings.simplefilter("ignore", UserWarning)
        return js.nir.from_nir(tmp_path / "file.nir", convention, **options)


@pytest.mark.parametrize(("library", "case"), CASES)
def test_a_file_of_another_library_computes_what_it_did_there(library, case, tmp_path):
    arrays, info = LIBRARIES[library]
    options = {"fires" if k == "fire" else k: v for k, v in info["cases"][case].items()}
    reset = options.get("reset", "hard")  # that of the network, which the files do not say
    x, want = arrays[f"{case}.x"], arrays[f"{case}.y"]
    for convention in js.nir.Convention(**options), CONVENTIONS[library].replace(reset=reset):
        net = read(tmp_path, arrays[f"{case}.nir"], convention, layout="channels_first")
        y = sequence(net, net.init_state(x.shape[1:]), x)
        if np.array_equal(want, np.round(want)):
            np.testing.assert_array_equal(y, want)
        else:
            np.testing.assert_allclose(y, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("library", "method", "scale"),
    [
        ("norse", "euler", 1),
        ("snntorch", "euler", 25),
        ("exact", "exact", 1),
        ("nengo", "exact", 10),
    ],
)
def test_the_neuron_of_the_paper(library, method, scale, tmp_path):
    convention = js.nir.EXACT if method == "exact" else js.nir.Convention(dt=1e-4)
    net = read(tmp_path, PAPER["lif_norse.nir"], convention)
    membranes = js.nn.Sequential(net["0"], net["1"])  # as above, but with the state at every step

    def step(state, x):
        state, y = membranes(state, x)
        return state, (state[1].v, y)

    xs = jnp.asarray(PAPER["input"])[:, None, None]
    _, (v, y) = js.scan(step, membranes.init_state((1, 1)), xs)
    want_v, want = PAPER[library].T
    np.testing.assert_array_equal(y[:, 0, 0], want != 0)
    quiet = want == 0  # some show the membrane before its reset
    if library == "exact":  # from the instant of the spike, not the end of the step
        quiet &= np.cumsum(want) == 0
    np.testing.assert_allclose(scale * v[quiet, 0, 0], want_v[quiet], atol=2e-6 * scale)


def test_a_malformed_graph_of_the_paper_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"got \('input', 'lif'\) in the graph 'lif1'"):
        read(tmp_path, PAPER["subgraph.nir"])
