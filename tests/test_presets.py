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
    return getattr(js.presets, preset)(**arguments)


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
