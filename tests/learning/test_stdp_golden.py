"""Rules against the recorded steps of SpikingJelly and BindsNET.

The numbers are in `golden/plasticity_<library>.npz`; `golden/make_plasticity_<library>.py` made
them.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from golden_files import load
from plasticity import raises, run

import jaxspike as js

SPIKINGJELLY = load("plasticity_spikingjelly.npz")[0]
BINDSNET, INFO = load("plasticity_bindsnet.npz")
spikingjelly, bindsnet = js.presets.spikingjelly, js.presets.bindsnet


def conv(kernel, padding, strides=1):
    """A convolution with a kernel."""
    *size, m, k = kernel.shape
    layer = nnx.Conv(m, k, size, strides, padding=padding, use_bias=False, rngs=nnx.Rngs(0))
    layer.kernel[...] = kernel
    return layer


def f_pre(w):
    return 0.3 + 0.5 * w


def f_post(w):
    return 1 - w


FUNCTIONS = {"f_pre": f_pre, "f_post": f_post}
LEARNERS = {
    "default": spikingjelly.stdp(2.0, 3.0),
    "linear": spikingjelly.stdp(2.0, 3.0, **FUNCTIONS),
    "conv2d": spikingjelly.stdp(2.0, 3.0, **FUNCTIONS),
    "conv1d": spikingjelly.stdp(2.0, 3.0, **FUNCTIONS),
    "mstdp": spikingjelly.mstdp(2.0, 3.0, **FUNCTIONS),
    "mstdpet": spikingjelly.mstdpet(2.0, 3.0, 5.0, **FUNCTIONS),
}


@pytest.mark.parametrize("case", LEARNERS)
def test_learners_of_spikingjelly(case):
    golden = {k.split("|")[1]: v for k, v in SPIKINGJELLY.items() if k.startswith(f"{case}|")}
    x, z, layer = golden["x"], golden["z"], jnp.asarray(golden["w"])
    if x.ndim == 2:  # without a batch
        x, z = x[:, None], z[:, None]
    if case.startswith("conv"):
        layer = conv(layer, 1, 2 if case == "conv2d" else 1)
    rewards = [golden["reward"]] if "reward" in golden else []
    (dw,) = jax.tree.leaves(run(LEARNERS[case], layer, x, z, *rewards)[1])
    np.testing.assert_allclose(dw, golden["dw"], rtol=1e-5, atol=2e-6)


BOUNDS = {"wmin": 0.0, "wmax": 1.0}
RULES = {
    "post_pre": bindsnet.post_pre((0.02, 0.05), **BOUNDS),
    "post_pre, additive": bindsnet.post_pre((0.02, 0.05), traces_additive=True, **BOUNDS),
    "weight_dependent": bindsnet.weight_dependent_post_pre((0.02, 0.05)),
    "hebbian": bindsnet.hebbian((0.002, 0.005), **BOUNDS),
    "diehl_and_cook": bindsnet.diehl_and_cook(0.05, x_tar=0.4, mu=0.5),
    "mstdp": bindsnet.mstdp(0.05, tc_plus=15.0, tc_minus=25.0),
    "mstdp, zero lag": bindsnet.mstdp(0.05, zero_lag=True),
    "mstdpet": bindsnet.mstdpet(0.5, tc_e_trace=10.0),
    "mstdpet, one sample": bindsnet.mstdpet(0.5, a_plus=0.8, a_minus=-0.6),
    "conv": bindsnet.post_pre((0.002, 0.005), **BOUNDS),
}


@jax.jit
def learned(rule, layer, x, z, *reward):
    """The weights after each step."""

    def step(carry, signals):
        traces, layer = carry
        traces, dw = rule(traces, layer, *signals)
        layer = jax.tree.map(jnp.add, layer, dw)
        return (traces, layer), layer

    return jax.lax.scan(step, (rule.init_traces(layer, x.shape[1:]), layer), (x, z, *reward))[1]


@pytest.mark.parametrize("case", RULES)
def test_rules_of_bindsnet(case):
    rule, layer = RULES[case], jnp.asarray(BINDSNET[f"{case}|w0"])
    x, z = BINDSNET["x"], BINDSNET["z"]
    if case == "conv":
        x, z, layer = BINDSNET["image"], BINDSNET["maps"], conv(layer, 1, (2, 1))
    else:
        n = INFO["cases"][case][3]
        x, z = x[:, :n], z[:, :n]
    rewards = [BINDSNET["reward"]] if isinstance(rule, js.learning.ModulatedRule) else []
    (w,) = jax.tree.leaves(learned(rule, layer, x, z, *rewards))
    np.testing.assert_allclose(w, BINDSNET[f"{case}|w"], rtol=1e-5, atol=2e-6)


def test_every_rule_is_compared():
    assert set(INFO["cases"]) | {"conv"} == RULES.keys()
    used = {case.split(",")[0].replace("dependent", "dependent_post_pre") for case in RULES}
    assert used - {"conv"} == set(bindsnet.__all__)
    assert {case.split("|")[0] for case in SPIKINGJELLY} - {"info"} == LEARNERS.keys()
    assert {type(rule).__name__.lower() for rule in LEARNERS.values()} == set(spikingjelly.__all__)


def test_normalization_of_bindsnet():
    got = js.learning.normalize(BINDSNET["norm|w0"], 3.0)
    np.testing.assert_allclose(got, BINDSNET["norm|w"], rtol=1e-6)


def test_refusals():
    sentence = "`spikingjelly.stdp(tau_post=...)` must be greater than 1, got 1.0."
    raises(ValueError, sentence, spikingjelly.stdp, 2.0, 1.0)
    sentence = "`PowerLaw(w_max=...)` must be greater than 0, got -1.0."
    raises(ValueError, sentence, bindsnet.weight_dependent_post_pre, wmax=-1.0)
