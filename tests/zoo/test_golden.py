"""Spikes equal SpikingJelly's exactly; membranes and gradients to rounding.

The numbers are in `golden/spikingjelly.npz`; `golden/make_spikingjelly.py` made them and says how.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from golden_files import assert_close, load
from xla import AS_USERS

import jaxspike as js

GOLDEN, INFO = load("spikingjelly.npz")


def case_id(case):
    """A short name that tells the cases apart."""
    kind, (name, alpha) = case["neuron"], case["surrogate"]
    parts = [kind, f"vr={case['v_reset']}", f"th={case['v_threshold']}", f"{name}({alpha})"]
    if case["tau"]:
        parts += [f"tau={case['tau']}", f"decay_input={case['decay_input']}"]
    return "-".join(parts + ["detach"] * case["detach_reset"] + ["v0"] * case["random_v0"])


CASES = [pytest.param(i, c, id=case_id(c)) for i, c in enumerate(INFO["cases"])]
SURROGATES = [(i, *s) for i, s in enumerate(INFO["surrogates"])]
PLIF_CASES = [p for p in CASES if p.values[1]["neuron"] == "PLIF"]


def make_surrogate(name, alpha):
    return getattr(js.surrogate, name)(alpha=alpha)


def make_neuron(case):
    """The jaxspike neuron of a case."""
    fields = ["v_threshold", "v_reset", "detach_reset"]
    fields += ["tau", "decay_input"] if case["tau"] else []
    kind = js.IF if case["neuron"] == "IF" else js.LIF
    return kind(surrogate=make_surrogate(*case["surrogate"]), **{k: case[k] for k in fields})


def inputs(case, neuron):
    """Initial state and input sequence of a case."""
    x = GOLDEN["x"][0 if case["decay_input"] else 1]
    state = neuron.init_state(x.shape[1:])
    return state._replace(v=jnp.asarray(GOLDEN["v0"])) if case["random_v0"] else state, x


def forward(neuron, state, x):
    """The last state, and spikes and membranes."""

    def step(state, x):
        state, spikes = neuron(state, x)
        return state, (spikes, state.v)

    return js.scan(step, state, x)


forward_as_users = jax.jit(forward, compiler_options=AS_USERS)


@jax.jit
def run(neuron, state, x, w_spikes, w_v):
    """Spikes and membranes, and the gradients of the case's loss."""

    def loss(neuron, state, x):
        state, (spikes, v_seq) = forward(neuron, state, x)
        return (spikes * w_spikes).sum() + (state.v * w_v).sum(), (spikes, v_seq)

    grads, out = jax.grad(loss, (0, 1, 2), has_aux=True)(neuron, state, x)
    return out, grads


@pytest.mark.parametrize(("i", "case"), CASES)
def test_neuron(i, case):
    neuron = make_neuron(case)
    state, x = inputs(case, neuron)
    out, grads = run(neuron, state, x, GOLDEN["w_spikes"], GOLDEN["w_v"])
    # one surrogate, of which the forward pass knows nothing, is one program for many cases
    plain = neuron.replace(surrogate=js.surrogate.Sigmoid())
    for spikes, v_seq in (out, forward_as_users(plain, state, x)[1]):
        np.testing.assert_array_equal(spikes, GOLDEN["spikes"][i])
        assert_close(v_seq, GOLDEN["v_seq"][i])
    assert_close(grads[1].v, GOLDEN["grad_v0"][i])
    assert_close(grads[2], GOLDEN["grad_x"][i])
    if case["neuron"] == "PLIF":  # tau = 1 + exp(-w), so dtau/dw = 1 - tau
        assert_close(grads[0].tau * (1 - neuron.tau), GOLDEN["grad_w"][i])


@pytest.mark.parametrize(("i", "case"), PLIF_CASES)
def test_parametric_lif(i, case):
    layer = js.nn.Spiking(make_neuron(case), learn=("tau",))
    state, x = inputs(case, layer.neuron)

    @nnx.jit
    def gradient(layer):
        def loss(layer):
            last, spikes = layer(state, x)
            return (spikes * GOLDEN["w_spikes"]).sum() + (last.v * GOLDEN["w_v"]).sum(), spikes

        return nnx.grad(loss, has_aux=True)(layer)

    grads, spikes = gradient(layer)
    np.testing.assert_array_equal(spikes, GOLDEN["spikes"][i])
    assert_close(-grads["tau_raw"][...], GOLDEN["grad_w"][i])  # tau_raw = log(tau - 1) = -w


@pytest.mark.parametrize(("i", "tau"), list(enumerate(INFO["li"])))
def test_leaky_integrator(i, tau):
    neuron, x = js.LI(tau=tau), GOLDEN["x"][0]
    state = neuron.init_state(x.shape[1:])
    v, vjp = jax.vjp(lambda x: js.scan(neuron, state, x)[1], x)
    assert_close(v, GOLDEN["li_v"][i])
    assert_close(vjp(jnp.asarray(GOLDEN["w_spikes"]))[0], GOLDEN["li_grad_x"][i])


@pytest.mark.parametrize(("i", "name", "alpha"), SURROGATES)
def test_surrogate(i, name, alpha):
    x = jnp.asarray(GOLDEN["surrogate_x"])
    surrogate = make_surrogate(name, alpha)
    assert_close(surrogate(x), GOLDEN["surrogate_grad"][i])
    spikes, vjp = jax.vjp(lambda x: js.surrogate.spike(x, surrogate), x)
    np.testing.assert_array_equal(spikes, x >= 0)
    assert_close(vjp(jnp.ones_like(x))[0], GOLDEN["surrogate_grad"][i])


def channels_last(a):
    """Images `[..., C, H, W]` as `[..., H, W, C]`; anything else as it is."""
    return np.moveaxis(a, -3, -1) if a.ndim == 5 else a


def flax_linear(w):
    """A torch weight behind Flatten, `[out, C * H * W]`, as Flax's `[H * W * C, out]`."""
    return w.reshape(-1, 4, 4, 4).transpose(2, 3, 1, 0).reshape(-1, len(w))


def flax_params(prefix):
    """The network's weights, or gradients, by layer and Flax name."""
    return {
        (0, "kernel"): GOLDEN[f"{prefix}0.weight"].transpose(2, 3, 1, 0),
        (0, "bias"): GOLDEN[f"{prefix}0.bias"],
        (5, "kernel"): flax_linear(GOLDEN[f"{prefix}5.weight"]),
        (5, "bias"): GOLDEN[f"{prefix}5.bias"],
    }


def make_network(depth=None):
    """The network, or its first `depth` layers, with the weights of the file."""
    rngs = nnx.Rngs(0)
    layers = [
        nnx.Conv(3, 4, (3, 3), rngs=rngs),
        js.IF(),
        js.nn.MaxPool((2, 2)),
        js.IF(v_threshold=1.5, v_reset=None),
        js.nn.Flatten(),
        nnx.Linear(4 * 4 * 4, 10, rngs=rngs),
        js.IF(surrogate=js.surrogate.ATan()),
    ]
    for (i, name), value in flax_params("net_").items():
        getattr(layers[i], name)[...] = jnp.asarray(value)
    return js.nn.Sequential(*layers[:depth])


@pytest.mark.parametrize(("depth", "i"), [(2, 0), (4, 1), (7, 2)])
def test_network_spikes(depth, i):
    net, x = make_network(depth), channels_last(GOLDEN["net_x"])
    state = net.init_state(x.shape[1:])
    _, spikes = nnx.jit(lambda net, x: net(state, x))(net, x)
    np.testing.assert_array_equal(spikes, channels_last(GOLDEN[f"net_spikes_{i}"]))


@pytest.mark.parametrize("order", ["layer", "step"])
def test_network_gradients(order):
    net, x = make_network(), channels_last(GOLDEN["net_x"])
    state = net.init_state(x.shape[1:])

    @nnx.jit
    def gradients(net, x):
        def loss(net, x):
            return (js.scan(net, state, x, order=order)[1] * GOLDEN["net_w"]).sum()

        return nnx.grad(loss, argnums=(0, 1))(net, x)

    grads, grad_x = gradients(net, x)
    assert_close(grad_x, channels_last(GOLDEN["net_grad_x"]))
    for (i, name), want in flax_params("net_grad_").items():
        assert_close(grads["layers"][i][name][...], want)


def test_file_is_what_the_script_describes():
    """A guard against a file made from another list of cases."""
    assert len(GOLDEN["spikes"]) == len(CASES)
    for i, case in enumerate(INFO["cases"]):
        assert 0.1 <= GOLDEN["spikes"][i].mean() <= 0.6
        assert np.isnan(GOLDEN["grad_w"][i]) == (case["neuron"] != "PLIF")
