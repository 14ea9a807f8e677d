"""Write `presets_spyx.npz`: the neurons of spyx, the contents as in `make_presets.py`.

The file was made with Python 3.11.7, jax 0.10.2 (CPU) and spyx 1.0.0, in an environment of its own:

    python3.11 -m venv spyx
    spyx/bin/pip install spyx==1.0.0
    spyx/bin/python tests/golden/make_presets_spyx.py
"""

from importlib.metadata import version

import jax
import jax.numpy as jnp
from flax import nnx
from make_presets import C, N, write
from spyx import nn

MODELS = {"spyx_lif": nn.LIF, "spyx_if": nn.IF, "spyx_cuba_lif": nn.CuBaLIF, "spyx_li": nn.LI}
CASES = [
    ("spyx_lif", {"beta": 0.8}, ["beta", "threshold"], "x"),
    ("spyx_lif", {"beta": 0.6, "threshold": 0.7}, ["beta", "threshold"], "many"),
    ("spyx_lif", {"beta": 1.0}, [], "exact"),
    ("spyx_if", {"threshold": 1.1}, ["threshold"], "x"),
    ("spyx_cuba_lif", {"alpha": 0.6, "beta": 0.7}, ["alpha", "beta", "threshold"], "low"),
    ("spyx_cuba_lif", {"alpha": 0.3, "beta": 0.5, "threshold": 0.8}, ["alpha", "beta"], "x"),
    ("spyx_li", {}, ["beta"], "x"),
]


def run(preset, arguments, learned, x, w_y, w_v):
    """Spikes, membranes and gradients of one neuron over a sequence."""

    def loss(leaves, x):
        model = MODELS[preset]((C,), **arguments, rngs=nnx.Rngs(0))
        for name, leaf in leaves.items():
            if name == "threshold":
                model.threshold = leaf
            else:
                getattr(model, name)[...] = jnp.broadcast_to(leaf, getattr(model, name).shape)
        state, outputs, membranes = model.initial_state(N), [], []
        for step in x:
            y, state = model(step, state)
            outputs.append(y)
            membranes.append(state[..., :C])
        y, v = jnp.stack(outputs), jnp.stack(membranes)
        return (y * w_y).sum() + (v * w_v).sum(), (y, v)

    defaults = {"threshold": 1.0, "beta": 0.8}
    leaves = {name: jnp.float32((defaults | arguments)[name]) for name in learned}
    (grads, grad_x), (y, v) = jax.grad(loss, (0, 1), has_aux=True)(leaves, jnp.asarray(x))
    return {f"grad_{name}": g for name, g in grads.items()} | {"grad_x": grad_x, "y": y, "v": v}


if __name__ == "__main__":
    versions = {name: version(name) for name in ("jax", "flax", "spyx")}
    write("spyx", versions, CASES, run, "threshold")
