"""The residuals of the gradient, and their memory."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from xla import AS_USERS

import jaxspike as js
from jaxspike.engine.loop.backward import _unrelated

IN_PLACE = pytest.mark.skipif(
    jax.__version_info__ < (0, 11), reason="a loop copies what it writes over"
)


ONE_FUNCTION = pytest.mark.skipif(
    jax.__version_info__ < (0, 12), reason="XLA runs every loop operation by operation"
)


def fire(v, x):
    h = v + (x - v) / 2.0
    s = js.surrogate.spike(h - 1.0, js.surrogate.ATan())
    return h * (1 - s), s


def temporaries(run, x):
    """Temporary memory of ``run(x)`` over the size of ``x``."""
    compiled = jax.jit(run, compiler_options=AS_USERS).lower(x).compile()
    return compiled.memory_analysis().temp_size_in_bytes / x.nbytes


def gradient(step=fire, **options):
    def run(x):
        def f(x):
            return js.scan(step, jnp.zeros_like(x[0]), x, **options)[1]

        y, pull = jax.vjp(f, x)
        return y, pull(x)[0]

    return run


def inference(**options):
    return lambda x: js.scan(fire, jnp.zeros_like(x[0]), x, **options)[1]


def residuals(t, **options):
    x = jnp.ones((t, 64))
    _, pull = jax.vjp(lambda x: js.scan(fire, x[0], x, **options), x)
    return sum(a.size for a in jax.tree.leaves(pull)) / 64 - t  # without the inputs


@pytest.mark.parametrize("order", ["layer", "step"])
@pytest.mark.parametrize(
    "t, segment, rows", [(40, 1, 40), (40, 4, 10), (37, 4, 10), (101, "sqrt", 10)]
)
def test_a_state_every_few_steps_is_kept(t, segment, rows, order):
    assert rows <= residuals(t, segment=segment, order=order) <= rows + 2


def test_temporaries():
    x = jnp.ones((400, 256))
    assert temporaries(gradient(segment=4), x) < 0.3
    assert temporaries(gradient(segment="sqrt"), x) < 0.2
    assert temporaries(gradient(), x) < 0.5
    assert temporaries(lambda x: js.scan(fire, jnp.zeros_like(x[0]), x), x) < 0.02  # inference


def test_a_short_sequence_writes_no_state():
    """Not the first one either, which a network at rest makes of a constant."""
    assert temporaries(gradient(), jnp.ones((4, 40_000))) < 0.01


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "int32", "bool"])
def test_what_xla_cannot_tell_to_be_the_same_is(dtype):
    # no subnormal numbers: all arithmetic of XLA on a CPU takes them for zero
    x = jnp.array([0.0, -0.0, 1.5, -2e-30, jnp.inf, -jnp.inf, jnp.nan]).astype(dtype)
    y = jax.jit(_unrelated)(x)
    assert y.dtype == x.dtype
    assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


def test_sqrt_at_four_thousand_steps():
    for t in (4000, 4001):  # 4001 is prime
        assert temporaries(gradient(segment="sqrt"), jnp.ones((t, 128))) < 0.1


def test_products_are_kept_only_between_segments_that_are():
    """With long segments a recurrent net keeps no product over all steps."""
    w = jnp.eye(64)

    def run(segment):
        def step(v, x):
            return fire(v, x + v @ w)

        return temporaries(gradient(step, segment=segment), jnp.ones((1000, 2, 64)))

    assert run("sqrt") < 0.3 < 1.0 < run(1)


def test_segments_of_a_network_store_nothing_between_its_layers():
    w = jnp.eye(64)

    def step(state, x):
        a, y = fire(state[0], x @ w)
        b, z = fire(state[1], y @ w)
        return (a, b), z

    def run(**options):
        def both(x):
            rest = jnp.zeros_like(x[0])
            y, pull = jax.vjp(lambda x: js.scan(step, (rest, rest), x, **options)[1], x)
            return y, pull(x)[0]

        return both

    x = jnp.ones((1000, 2, 64))
    assert temporaries(run(segment="sqrt"), x) < 0.5 < 2.0 < temporaries(run(), x)
    text = str(jax.make_jaxpr(run(segment=50))(x))
    assert re.search(r"f32\[(50,2|100),64\] = dot_general", text)
    assert not re.search(r"f32\[2,64\] = dot_general", text)  # not step by step


@IN_PLACE
def test_under_tiles_a_number_without_a_gradient_stays_one():
    """At rest a row for the state and one for its cotangent, none for tau and the threshold."""
    lif, policy = js.LIF(), js.Policy(tile=2**13)

    def run(x):
        rest = lif.init_state(x.shape[1:])
        y, pull = jax.vjp(lambda x: js.scan(lif, rest, x, policy=policy)[1], x)
        return y, pull(x)[0]

    assert temporaries(run, jnp.ones((8, 2**18))) < 2.5 / 8


@IN_PLACE
def test_cotangents_of_inputs_take_the_place_of_those_of_outputs():
    def run(x):
        def loss(x):
            y = js.scan(fire, jnp.zeros_like(x[0]), x, segment=4)[1]
            return ((y + x) ** 2).sum(), y

        return jax.value_and_grad(loss, has_aux=True)(x)

    assert temporaries(run, jnp.ones((400, 256))) < 1.5


def test_a_recurrent_layer_keeps_nothing_twice():
    """The product, two states, and no rows for the gradient of the weight beside them."""

    def run(w, x):
        def loss(w, x):
            def step(state, x):
                v, z = fire(state[0], x + state[1] @ w)
                return (v, z), z

            rest = jnp.zeros_like(x[0])
            y = js.scan(step, (rest, rest), x, segment=1)[1]
            return (y * x).sum(), y

        return jax.value_and_grad(loss, (0, 1), has_aux=True)(w, x)

    assert temporaries(lambda x: run(jnp.eye(64), x), jnp.ones((200, 64, 64))) < 4.5


@ONE_FUNCTION
@pytest.mark.parametrize("half", ["bfloat16", "float16"])
@pytest.mark.parametrize("run", [gradient, inference])
def test_a_wide_loop_over_16_bits_is_not_one_function_on_one_core(run, half, monkeypatch):
    monkeypatch.setattr(js.engine.device, "rounds_to_bfloat16", lambda: True)

    def one_function(n, dtype=half, **options):
        x = jnp.ones((12, n), dtype)
        compiled = jax.jit(run(**options), compiler_options=AS_USERS).lower(x).compile()
        return "xla_cpu_small_call" in compiled.as_text()

    wide, parallel = 2**12, js.Policy(parallel=True)
    assert not one_function(wide)
    assert one_function(wide - 1)  # if not, XLA has changed and needs no help
    assert one_function(2**15, "float32")
    assert one_function(wide, policy=js.Policy(parallel=False))
    assert not one_function(wide - 1, policy=parallel)
    assert not one_function(wide, "float32", policy=parallel)
    tiles = js.Policy(tile=wide // 4)
    assert not one_function(wide, policy=tiles, unroll=12)  # the loop over tiles
    monkeypatch.setattr(js.engine.device, "rounds_to_bfloat16", lambda: False)
    assert one_function(wide) == (half == "bfloat16")  # else it calls a function for each number


@ONE_FUNCTION
@pytest.mark.parametrize("types", [("bfloat16", "float32"), ("float32", "bfloat16")])
def test_nor_is_one_with_16_bits_only_in_inputs_or_outputs(types, monkeypatch):
    monkeypatch.setattr(js.engine.device, "rounds_to_bfloat16", lambda: True)
    read, made = types

    def run(x):
        def step(v, x):
            v, s = fire(v, x.astype(jnp.float32))
            return v, s.astype(made)

        return js.scan(step, jnp.zeros(x.shape[1:]), x)[1]

    x = jnp.ones((12, 2**12), read)
    compiled = jax.jit(run, compiler_options=AS_USERS).lower(x).compile()
    assert "bf16[12,4096]" in compiled.as_text()
    assert "xla_cpu_small_call" not in compiled.as_text()


@IN_PLACE
def test_written_out_tiles_take_the_room_of_one():
    run = gradient(unroll=8, policy=js.Policy(tile=2**9))
    assert temporaries(run, jnp.ones((8, 2**14))) < 0.1
    tiles, one = (str(jax.make_jaxpr(run)(jnp.ones((8, n)))) for n in (2**14, 2**9))
    assert "scan[" in tiles and "scan[" not in one


@IN_PLACE
def test_steps_left_over_copy_no_sequence():
    """In one tile: the first steps are outside of the loop that has the others."""
    for t in (36, 37):
        run = gradient(segment=4, policy=js.Policy(tile=2**15))
        assert temporaries(run, jnp.ones((t, 64, 512))) < 0.7


def late(v, x):
    """The cotangent of the input is that of the state: nothing is computed from the output's."""
    s = js.surrogate.spike(v - 1.0, js.surrogate.ATan())
    return 0.5 * v + x - s, s


@IN_PLACE
@pytest.mark.parametrize("step", [fire, late])
def test_no_sequence_is_copied_for_every_tile(step):
    run = gradient(step, policy=js.Policy(tile=64))
    x = jnp.ones((24, 16, 32))
    text = jax.jit(run, compiler_options=AS_USERS).lower(x).compile().as_text()
    copies = re.findall(r"f32\[24,512\].* copy\(.*while/body", text)
    assert "f32[24,512]" in text and not copies
