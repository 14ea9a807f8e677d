"""An error in a user's step shows the user's frames, and next to none of the library's."""

import os
import pathlib
import re
import subprocess
import sys

import jaxspike as js

PROGRAM = """
import traceback
import jax.numpy as jnp
import jaxspike as js
from flax import nnx


class Own(js.nn.SpikingModule):
    def init_state(self, shape, dtype=jnp.float32):
        return jnp.zeros(shape, dtype)

    def __call__(self, state, x):
        return state, wrong_in_a_layer(x)


class Block(js.nn.SpikingModule):
    def __init__(self):
        self.linear, self.own = nnx.Linear(4, 4, rngs=nnx.Rngs(0)), Own()

    def __call__(self, state, x):
        new, y = self.own(state["own"], self.linear(x))
        return {"own": new}, y


class Neuron(js.Neuron):
    def init_state(self, shape, dtype=jnp.float32):
        return jnp.zeros(shape, dtype)

    def step(self, state, x):
        return state, wrong_in_a_neuron(x)


def wrong_in_a_layer(x):
    return x @ jnp.ones((3, 3))


wrong_in_a_neuron = wrong_in_a_function = wrong_in_a_layer
x = jnp.ones((5, 2, 4))
rest = js.LIF().init_state((2, 4))
CALLS = {
    "a network": lambda: js.nn.Sequential(js.LIF(), Block())((rest, {"own": x[0]}), x),
    "a compiled network": lambda: nnx.jit(lambda net, x: net((rest, {"own": x[0]}), x))(
        js.nn.Sequential(js.LIF(), Block()), x
    ),
    "a network of neurons": lambda: js.nn.Sequential(Neuron())((x[0],), x),
    "a scan": lambda: js.scan(lambda s, x: (s, wrong_in_a_function(x)), (), x),
    "a scan of a neuron": lambda: js.scan(Neuron(), x[0], x),
}
for name, call in CALLS.items():
    try:
        call()
    except TypeError:
        print("====", name)
        print(traceback.format_exc())
js.nn.Sequential(js.LIF(), Block())((rest, {"own": x[0]}), x)
"""


def test_frames(tmp_path):
    path, package = tmp_path / "program.py", pathlib.Path(js.__file__).parent
    path.write_text(PROGRAM)
    env = {k: v for k, v in os.environ.items() if k != "JAX_TRACEBACK_FILTERING"}
    env["PYTHONPATH"] = os.pathsep.join([str(package.parent), env.get("PYTHONPATH", "")])
    run = subprocess.run([sys.executable, path], capture_output=True, text=True, env=env)
    caught = run.stdout.split("==== ")[1:]
    assert len(caught) == 5
    for text in (*caught, run.stderr):
        frames = re.findall(r'File "(.*?)", line', text)
        ours = [f for f in frames if pathlib.Path(f).is_relative_to(package)]
        assert len(ours) <= 2, text
        assert "in wrong_in_a_layer" in text and str(path) in frames[0]
