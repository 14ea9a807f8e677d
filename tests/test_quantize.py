"""Networks with weights that qwix quantizes, and the page that shows them."""

import contextlib
import importlib.util
import io
import re

import jax
import jax.numpy as jnp
import numpy as np
import pages
import pytest
from flax import nnx

import jaxspike as js

PAGE = pages.ROOT / "docs" / "quantization.md"
pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("qwix") is None, reason="needs the package qwix"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of Flax, by qwix 0.1.8
]


@pytest.fixture(autouse=True)
def promotion(mixed_dtypes):
    """Qwix mixes dtypes."""


X = (jax.random.uniform(jax.random.key(0), (6, 5, 20)) < 0.4).astype(jnp.float32)


def recurrent_network():
    rngs = nnx.Rngs(0)
    neuron = js.ALIF(v_threshold=0.3)
    return js.nn.Sequential(
        nnx.Linear(20, 16, rngs=rngs),
        js.nn.Recurrent(neuron, nnx.Linear(16, 16, rngs=rngs)),
        nnx.Linear(16, 3, rngs=rngs),
        js.LI(),
    )


def kernels(net):
    return [net[0].kernel, net[1].feedback.kernel, net[2].kernel]


def rounded_by_hand(w, bits):
    """The largest weight of every output is the end of its range."""
    most = 2 ** (bits - 1) - 0.5
    scale = abs(w).max(0) / most
    return np.clip(np.round(w / scale), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1) * scale


def test_weights_and_gradients():
    import qwix

    net = recurrent_network()
    state = net.init_state((5, 20))
    rules = [
        qwix.QuantizationRule(weight_qtype="int8", module_path="layers/0"),
        qwix.QuantizationRule(weight_qtype="int4", op_names=("dot_general",)),
    ]
    after, during = (
        qwix.quantize_model(net, provider(rules), state, X[0])
        for provider in (qwix.PtqProvider, qwix.QtProvider)
    )
    stored = [kernel.array.qvalue for kernel in kernels(after)]
    assert [str(q.dtype) for q in stored] == ["int8", "int4", "int4"]
    by_hand = recurrent_network()
    for kernel, bits in zip(kernels(by_hand), (8, 4, 4), strict=True):
        kernel[...] = rounded_by_hand(kernel[...], bits)

    @nnx.jit
    def run(net):
        def loss(net):
            y_seq = net(state, X)[1]
            return (y_seq**2).sum(), y_seq

        (_, y_seq), grads = nnx.value_and_grad(loss, has_aux=True)(net)
        return y_seq, grads

    y_seq, want = run(by_hand)
    got_seq, got = run(during)
    np.testing.assert_allclose(got_seq, y_seq, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        nnx.jit(lambda n: n(state, X)[1])(after), y_seq, rtol=1e-4, atol=1e-5
    )
    for g, w in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert jnp.vdot(g, w) > 0.95 * jnp.linalg.norm(g) * jnp.linalg.norm(w) > 0
    last = [grads["layers"][2]["kernel"][...] for grads in (got, want)]
    np.testing.assert_allclose(*last, rtol=1e-3, atol=1e-4)  # no rounded weight is behind it
    report, plain = (js.cost.operations(n, state, X[:2]) for n in (after, by_hand))
    assert [row.ac for row in report.rows()] == [row.ac for row in plain.rows()]
    assert report.footprint < plain.footprint


def test_the_page():
    space, out = {}, io.StringIO()
    with contextlib.redirect_stdout(out):
        for block in pages.programs(PAGE):
            exec(block, space)
    printed = out.getvalue()
    accuracies = [float(a) for a in re.findall(r"accuracy ([\d.]+)%", printed)]
    assert len(accuracies) == 5 and min(accuracies) > 90
    assert "int4" in printed and 2 < pages.shown_rates(printed)[0] < 90
