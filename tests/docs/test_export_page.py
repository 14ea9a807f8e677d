"""The page of exports: the program of every step, in ONNX Runtime where it is installed."""

import contextlib
import importlib
import io
import re
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pages
import pytest
from flax import nnx

import jaxspike as js

PAGE = pages.ROOT / "docs" / "export.md"


@pytest.fixture(scope="module")
def onnx():
    """jax2onnx and ONNX Runtime, which are too heavy for every test environment."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("jax2onnx", "onnxruntime"):
            if importlib.util.find_spec(name) is None:
                pytest.skip(f"needs the package {name}")
        return importlib.import_module("jax2onnx"), importlib.import_module("onnxruntime")


def test_the_first_program():
    """What the page exports is a function of arrays that does what the network does."""
    space = {}
    with jax.numpy_dtype_promotion("standard"):
        exec(pages.programs(PAGE)[0], space)
        now, step = space["leaves"], jax.jit(space["step"])
        for x, y in zip(space["x_seq"], space["y_seq"], strict=True):
            got, *now = step(x, *now)
            np.testing.assert_allclose(got, y, atol=1e-6)
    assert np.ptp(space["y_seq"]) > 0.05


@pytest.mark.filterwarnings("ignore")
def test_onnx(onnx):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), jax.numpy_dtype_promotion("standard"):
        space = {}
        for block in pages.programs(PAGE):
            exec(block, space)
    differences = re.findall(r"largest difference ([-\d.e]+)", out.getvalue())
    assert len(differences) == 2 and all(float(d) < 1e-6 for d in differences)


@pytest.mark.filterwarnings("ignore")
def test_a_perceptron_in_onnx(onnx):
    to_onnx, runtime = onnx[0].to_onnx, onnx[1]
    rngs = nnx.Rngs(0)
    lif = js.LIF(v_threshold=0.3)
    net = js.nn.Sequential(nnx.Linear(20, 32, rngs=rngs), lif, nnx.Linear(32, 3, rngs=rngs), lif)
    x = jax.random.uniform(jax.random.key(0), (4, 20))
    with jax.numpy_dtype_promotion("standard"):
        leaves, structure = jax.tree.flatten(net.init_state((4, 20)))
        leaves = [leaf + 0.1 for leaf in leaves]
        want = net(jax.tree.unflatten(structure, leaves), x)

        def step(x, *leaves):
            state, y = net(jax.tree.unflatten(structure, leaves), x)
            return y, *jax.tree.leaves(state)

        model = to_onnx(step, [("N", *a.shape[1:]) for a in (x, *leaves)])
    session = runtime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    given = [np.asarray(a) for a in (x, *leaves)]
    got = session.run(None, dict(zip([i.name for i in session.get_inputs()], given, strict=True)))
    for a, b in zip(got, [want[1], *jax.tree.leaves(want[0])], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert 0 < jnp.mean(want[1]) < 1
