"""How loops are cut: what XLA may fuse into one pass."""

import functools

import jax
import jax.numpy as jnp
import pytest

import jaxspike as js
from jaxspike.engine import device


@pytest.fixture(autouse=True)
def version(monkeypatch):
    """Programs are traced and not run: any jaxlib can be the one that they are for."""
    monkeypatch.setattr(device, "jaxlib_minor", lambda: (0, 12))


def layer(neuron, steps, n, dtype="float32"):
    """A forward pass, and a sequence for it."""

    def run(x, **options):
        def step(state, x):
            state, y = neuron(state, x.astype(jnp.float32))
            return state, y.astype(dtype)

        return js.scan(step, neuron.init_state((n,)), x, **options)[1]

    return run, jnp.ones((steps, n), dtype)


def traced(f, *args):
    """The program; not that of an earlier trace."""
    return str(jax.make_jaxpr(lambda *args: f(*args))(*args))


def barriers(f, *args):
    return traced(f, *args).count("optimization_barrier")


def loops(f, *args):
    text = traced(f, *args)
    return text.count("while[") + text.count("scan[")


CHEAP = js.IF(), js.LIF(), js.ALIF(), js.CubaLIF(), js.LIF(detach_reset=True)
COSTLY = js.EIF(), js.CLIF(), js.AdEx(), js.AdEx(detach_reset=True), js.Refractory(js.AdEx())


@pytest.mark.parametrize("neuron", [*CHEAP, *COSTLY, js.KLIF(), js.Izhikevich()])
def test_four_steps_are_one_pass_if_they_are_cheap(neuron):
    """XLA computes a chain of steps again for each of its uses, and more so with a gradient."""
    run, x = layer(neuron, 4, 8)
    assert loops(run, x) == 0
    assert barriers(run, x) == (3 if neuron in COSTLY else 0)

    def gradient(**options):
        return lambda x: jax.vjp(lambda x: run(x, **options), x)[1](x)

    one_pass = barriers(gradient(policy=js.Policy(barrier=False)), x)
    assert (barriers(gradient(), x) > one_pass) == (neuron not in CHEAP)


@pytest.mark.parametrize("neuron", [*CHEAP, *COSTLY])
def test_eight_steps_forward_are_two_passes_if_they_are_cheap(neuron):
    run, x = layer(neuron, 8, 2**15)
    assert (loops(run, x), barriers(run, x)) == ((0, 1) if neuron in CHEAP else (1, 7))
    tiled = js.Policy(tile=2**13)
    assert loops(lambda x: run(x, policy=tiled), x) == 1


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("known", [False, True])
def test_rounding_by_a_function_is_costly(dtype, known, monkeypatch):
    monkeypatch.setattr(device, "rounds_to_bfloat16", lambda: known)
    run, x = layer(js.LIF(), 4, 8, dtype)
    assert (barriers(run, x) > 0) == (dtype == "bfloat16" and not known)
    monkeypatch.setattr(device, "jaxlib_minor", lambda: (0, 11))  # there it is so in any program
    assert barriers(run, x) == 0


def test_where_barriers_change_nothing_a_loop_does(monkeypatch):
    def turns(neuron, steps):
        run, x = layer(neuron, steps, 8)
        return loops(lambda x: jax.vjp(run, x)[1](x), x)

    costly = js.Refractory(js.AdEx())
    assert turns(costly, 4) == 0
    monkeypatch.setattr(device, "jaxlib_minor", lambda: (0, 10))
    assert turns(costly, 4) == 2 and turns(costly, 3) == turns(js.Izhikevich(), 4) == 0


@pytest.mark.parametrize("steps", [4, 12])
def test_forward_knows_unroll_and_not_segment(steps):
    run, x = layer(js.LIF(), steps, 8)
    assert loops(lambda x: run(x, unroll=2), x) == 1
    for segment in (2, 9, "sqrt"):
        assert traced(functools.partial(run, segment=segment), x) == traced(run, x)


def test_a_segment_longer_than_the_sequence_is_the_sequence():
    run, x = layer(js.LIF(), 4, 8)

    def gradient(segment):
        return traced(lambda x: jax.vjp(lambda x: run(x, segment=segment), x)[1](x), x)

    assert gradient(9) == gradient(4)


def test_several_outputs_are_costly_too():
    """A step with outputs of several shapes has no tiles."""
    neuron, x = js.AdEx(), jnp.ones((4, 8))

    def run(x):
        def step(state, x):
            state, y = neuron(state, x)
            return state, (y, y.sum())

        return js.scan(step, neuron.init_state((8,)), x)[1]

    assert barriers(run, x) == 3


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
