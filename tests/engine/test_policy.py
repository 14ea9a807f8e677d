"""How loops are cut: what XLA may fuse into one pass."""

import jax
import jax.numpy as jnp
import pytest

import jaxspike as js
from jaxspike.engine import device


def layer(neuron, steps, n, dtype="float32"):
    """A forward pass, and a sequence for it."""

    def run(x, **options):
        def step(state, x):
            state, y = neuron(state, x.astype(jnp.float32))
            return state, y.astype(dtype)

        return js.scan(step, neuron.init_state((n,)), x, **options)[1]

    return run, jnp.ones((steps, n), dtype)


def barriers(f, *args):
    return str(jax.make_jaxpr(f)(*args)).count("optimization_barrier")


def loops(f, *args):
    text = str(jax.make_jaxpr(f)(*args))
    return text.count("while[") + text.count("scan[")


CHEAP = js.IF(), js.LIF(), js.ALIF(), js.CubaLIF()
COSTLY = js.EIF(), js.CLIF(), js.AdEx()


@pytest.mark.parametrize("neuron", [*CHEAP, *COSTLY, js.KLIF(), js.Izhikevich()])
def test_four_steps_are_one_pass_if_they_are_cheap(neuron):
    """XLA computes a chain of steps again for each of its uses, and more so with a gradient."""
    run, x = layer(neuron, 4, 8)
    assert loops(run, x) == 0
    assert barriers(run, x) == (3 if neuron in COSTLY else 0)

    def gradient(**options):
        return lambda x: jax.vjp(lambda x: run(x, **options), x)[1](x)

    one_pass = barriers(gradient(policy=js.engine.Policy(barrier=False)), x)
    assert (barriers(gradient(), x) > one_pass) == (neuron not in CHEAP)


@pytest.mark.skipif(jax.__version_info__ < (0, 11), reason="there are no tiles")
@pytest.mark.parametrize("neuron", [*CHEAP, *COSTLY])
def test_eight_steps_forward_are_two_passes_if_they_are_cheap(neuron):
    run, x = layer(neuron, 8, 2**15)
    assert (loops(run, x), barriers(run, x)) == ((0, 1) if neuron in CHEAP else (1, 7))
    tiled = js.engine.Policy(tile=2**13)
    assert loops(lambda x: run(x, policy=tiled), x) == 1


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("known", [False, True])
def test_rounding_by_a_function_is_costly(dtype, known, monkeypatch):
    monkeypatch.setattr(device, "rounds_to_bfloat16", lambda: known)
    run, x = layer(js.LIF(), 4, 8, dtype)
    in_functions = jax.__version_info__ >= (0, 12)  # of XLA it is not
    assert (barriers(run, x) > 0) == (dtype == "bfloat16" and not known and in_functions)


def test_turns_that_are_given_are_kept():
    run, x = layer(js.LIF(), 4, 8)
    assert loops(lambda x: run(x, unroll=2), x) == 1
    assert loops(lambda x: run(x, segment=2), x) == 0  # which is for the gradient


@pytest.mark.parametrize(
    "text, known",
    [
        ("flags\t\t: fpu avx512_bf16 clzero", True),
        ("Features\t: fp asimd bf16 i8mm", True),
        ("flags\t\t: fpu avx512f amx_bf16 f16c", False),
        (None, False),
    ],
)
def test_instructions_of_the_cpu(text, known, monkeypatch):
    def read(path):
        assert str(path) == "/proc/cpuinfo"
        if text is None:
            raise FileNotFoundError(path)
        return text

    monkeypatch.setattr("pathlib.Path.read_text", read)
    assert device.rounds_to_bfloat16.__wrapped__() is known
