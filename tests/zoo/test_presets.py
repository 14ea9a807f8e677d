"""Presets equal the libraries that they name: spikes exactly, membranes and gradients to rounding.

The numbers are in `golden/presets_<library>.npz`; `golden/make_presets_<library>.py` made them.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_files import load

import jaxspike as js

FILES = {name: load(f"presets_{name}.npz") for name in ("snntorch", "norse", "sinabs", "spyx")}
CASES = [
    pytest.param(library, i, *case, id=f"{case[0]}-{i}")
    for library, (_, info) in FILES.items()
    for i, case in enumerate(info["cases"])
]


def make(preset, arguments):
    """The neuron, arguments in lists being one value a channel."""
    arguments = {k: jnp.array(v) if isinstance(v, list) else v for k, v in arguments.items()}
    library, name = preset.split("_", 1)
    return getattr(getattr(js.presets, library), name if name != "if" else "if_")(**arguments)


def membrane(neuron, state):
    """The membrane of a state; that of `Alpha` is the scaled sum of its currents."""
    if isinstance(neuron, js.DiscreteLIF):
        return state.v
    slow, fast = jnp.log(neuron.exc_decay), jnp.log(neuron.inh_decay)
    return fast / (fast - slow) * (state.exc + state.inh)


DEFAULTS = {"threshold": 1.0, "beta": 0.8, "tau_syn_inv": 200.0, "tau_mem_inv": 100.0}


@pytest.mark.parametrize(("library", "i", "preset", "arguments", "learned", "which"), CASES)
def test_equals_the_library(library, i, preset, arguments, learned, which):
    golden, _ = FILES[library]
    at_rest = make(preset, arguments).init_state(golden["x"].shape[1:])

    def loss(leaves, x):
        neuron = make(preset, arguments | leaves)

        def step(state, x):
            state, y = neuron(state, x)
            return state, (y, membrane(neuron, state))

        _, (y, v) = jax.lax.scan(step, at_rest, x)
        return (y * golden["w_y"]).sum() + (v * golden["w_v"]).sum(), (y, v)

    leaves = {name: jnp.array((DEFAULTS | arguments)[name]) for name in learned}
    run = jax.jit(jax.grad(loss, (0, 1), has_aux=True))
    (grads, grad_x), (y, v) = run(leaves, golden[which])
    close = {"rtol": 1e-5, "atol": 1e-5}
    if make(preset, arguments).v_threshold is None:
        np.testing.assert_allclose(y, golden[f"{i}_y"], rtol=1e-6, atol=1e-6)
    else:
        np.testing.assert_array_equal(y, golden[f"{i}_y"])
    np.testing.assert_allclose(v, golden[f"{i}_v"], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(grad_x, golden[f"{i}_grad_x"], **close)
    for name in learned:
        np.testing.assert_allclose(grads[name], golden[f"{i}_grad_{name}"], **close, err_msg=name)


def test_every_preset_is_compared_with_its_library():
    presets = {
        f"{library}_{name}".rstrip("_")
        for library in FILES
        for name in getattr(js.presets, library).__all__
    }
    assert presets == {case.values[2] for case in CASES}


def test_reset_in_the_step_of_the_spike_and_a_membrane_still_above_threshold():
    neuron = js.presets.snntorch.leaky(beta=1.0, reset_delay=False)
    _, y = js.scan(neuron, neuron.init_state((1,)), jnp.array([[2.5], [0.0], [0.0]]))
    np.testing.assert_array_equal(y[:, 0], [1, 0, 0])


def test_a_preset_is_a_layer_and_can_be_learned():
    layer = js.nn.Spiking(js.presets.norse.lif(v_th=0.2), learn=("v_decay", "v_threshold"))
    _, y = layer(layer.init_state((2, 4)), jnp.ones((9, 2, 4)))
    assert set(np.unique(y)) == {0, 1}


def refusals():
    """Sentences, and the calls that they are about."""
    p, leaky = js.presets, js.presets.snntorch.leaky
    yield "`snntorch.leaky(beta=...)` must be between 0 and 1, got 1.5.", lambda: leaky(1.5)
    yield "`snntorch.leaky(threshold=...)` must be greater than 0, got 0.", lambda: leaky(0.9, 0)
    yield (
        "`snntorch.leaky(reset_mechanism=...)` must be one of ('subtract', 'zero', 'none'), "
        "got 'hard'.",
        lambda: leaky(0.9, reset_mechanism="hard"),
    )
    yield (
        "`snntorch.leaky(reset_delay=...)` must be one of (True, False), got 2.",
        lambda: leaky(0.9, reset_delay=2),
    )
    yield (
        "`snntorch.synaptic(alpha=...)` must be between 0 and 1, got -0.1.",
        lambda: p.snntorch.synaptic(-0.1, 0.9),
    )
    for given in ({}, {"R": 1.0}, {"beta": 0.9, "R": 1.0, "C": 2.0}):
        beta, r, c = (given.get(name) for name in ("beta", "R", "C"))
        yield (
            "`snntorch.lapicque(beta=..., R=..., C=...)` must be beta, beta and one of the others, "
            f"or R and C, got beta={beta}, R={r} and C={c}. snnTorch ignores any others.",
            lambda given=given: p.snntorch.lapicque(**given),
        )
    yield (
        "`snntorch.lapicque(beta=...)` must be less than 1, got 1.0.",
        lambda: p.snntorch.lapicque(1.0),
    )
    yield (
        "`snntorch.lapicque(time_step=...)` must be at most 2 * R * C = 1.0, got 3.0. "
        "Use smaller steps.",
        lambda: p.snntorch.lapicque(R=1.0, C=0.5, time_step=3.0),
    )
    yield (
        "`snntorch.alpha(reset_mechanism=...)` must be one of ('zero', 'none'), got 'subtract'.",
        lambda: p.snntorch.alpha(0.9, 0.8, reset_mechanism="subtract"),
    )
    yield "`norse.lif(tau_mem_inv=...)` must be greater than 0, got 0.", lambda: p.norse.lif(200, 0)
    yield (
        "`norse.li(tau_syn_inv=..., dt=...)` must be `tau_syn_inv * dt <= 2` for stable Euler "
        "steps, got 200.0 and 1.0. Give the rate and the time step in the same unit.",
        lambda: p.norse.li(dt=1.0),
    )
    yield (
        "`norse.lif_box(reset_method=...)` must be one of ('reset_value', 'reset_subtract'), "
        "got 'soft'.",
        lambda: p.norse.lif_box(reset_method="soft"),
    )
    yield "`sinabs.lif(tau_mem=...)` must be greater than 0, got 0.", lambda: p.sinabs.lif(0)
    yield (
        "`sinabs.iaf(tau_syn=...)` must be greater than 0, got -1.",
        lambda: p.sinabs.iaf(tau_syn=-1),
    )
    yield (
        "`sinabs.iaf(max_num_spikes_per_bin=...)` must be at least 1, got 0.",
        lambda: p.sinabs.iaf(max_num_spikes_per_bin=0),
    )
    yield (
        "`sinabs.lif(reset_fn=...)` must be one of ('MembraneSubtract', 'MembraneReset'), "
        "got 'zero'.",
        lambda: p.sinabs.lif(2.0, reset_fn="zero"),
    )
    values = jnp.array([0.5, 2.0])
    yield f"`spyx.lif(beta=...)` must be between 0 and 1, got {values}.", lambda: p.spyx.lif(values)


@pytest.mark.parametrize(("sentence", "call"), list(refusals()))
def test_refusals(sentence, call):
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == sentence
