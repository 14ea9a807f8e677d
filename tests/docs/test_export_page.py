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


def test_the_functions_that_are_exported():
    """What the page exports are functions of arrays that do what the network does."""
    space, blocks = {}, pages.programs(PAGE)
    with jax.numpy_dtype_promotion("standard"):
        exec(blocks[0], space)
        np.testing.assert_array_equal(space["sequence"](space["x_seq"]), space["y_seq"])
        exec(blocks[2].split("\nrun =")[0], space)
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
    assert len(differences) == 3 and all(float(d) < 1e-6 for d in differences)


@pytest.mark.filterwarnings("ignore")
def test_loops_in_onnx(onnx):
    """Every spike is equal for any T and N, and no product with weights is inside of a loop."""
    to_onnx, runtime = onnx[0].to_onnx, onnx[1]
    rngs = nnx.Rngs(0)
    net = js.nn.Sequential(
        nnx.Linear(20, 32, rngs=rngs),
        js.nn.Spiking(js.LIF(v_threshold=0.3), learn=("tau",)),
        nnx.Linear(32, 3, rngs=rngs),
        js.CubaLIF(v_threshold=0.2),
    )
    x_seq = jax.random.uniform(jax.random.key(0), (9, 4, 20))
    with jax.numpy_dtype_promotion("standard"):
        want = net(net.init_state((4, 20)), x_seq)[1]

        def sequence(x_seq):
            y_seq = net(net.init_state(x_seq.shape[1:]), x_seq)[1]
            return y_seq, y_seq.sum(0)

        model = to_onnx(sequence, [("T", "N", 20)])
    outside = [node.op_type for node in model.graph.node]
    loops = [n.attribute[0].g.node for n in model.graph.node if n.op_type == "Loop"]
    inside = {node.op_type for loop in loops for node in loop}
    assert outside.count("Gemm") + outside.count("MatMul") == 2 and len(loops) == 2
    assert not inside & {"Gemm", "MatMul"}
    session = runtime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    for part in (x_seq, x_seq[:4, :2]):
        got = session.run(None, {session.get_inputs()[0].name: np.asarray(part)})
        there = want[: part.shape[0], : part.shape[1]]
        np.testing.assert_array_equal(got[0], there)
        np.testing.assert_array_equal(got[1], there.sum(0))
    assert 0 < jnp.mean(want) < 1


@pytest.mark.filterwarnings("ignore")
def test_a_converted_network_in_onnx(onnx):
    """Traced first, as the page of conversion says."""
    to_onnx, runtime = onnx[0].to_onnx, onnx[1]
    w = jax.random.normal(jax.random.key(0), (3, 5, 5))

    def ann(x):
        return nnx.leaky_relu(jnp.clip(x @ w[0], 0, 1) @ w[1]) @ w[2]

    x = jax.random.normal(jax.random.key(1), (4, 5))
    x_seq = jnp.broadcast_to(x, (6, 4, 5))
    with jax.numpy_dtype_promotion("standard"):
        snn = js.convert.spiking(ann, [x])

        def sequence(x_seq):
            return (snn(snn.init_state((4, 5)), x_seq)[1],)

        traced = jax.extend.core.jaxpr_as_fun(jax.make_jaxpr(sequence)(x_seq))
        model = to_onnx(traced, [x_seq.shape])
    session = runtime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (got,) = session.run(None, {session.get_inputs()[0].name: np.asarray(x_seq)})
    np.testing.assert_allclose(got, sequence(x_seq)[0], rtol=1e-5, atol=1e-6)
    assert abs(got).max() > 1
