"""`scan` equals `jax.lax.scan`, whatever the step function."""

import jax
import pytest

import jaxspike as js

from .programs import STEPS, assert_equal, program, value_and_gradients

OPTIONS = [
    {},
    {"segment": 2},
    {"order": "step"},
    {"order": "step", "segment": "sqrt", "unroll": 1},
    {"segment": 9, "unroll": 2},
    {"policy": js.engine.Policy(tile=5, barrier=False)},
    {"policy": js.engine.Policy(tile=5, parallel=True), "segment": 2},
    {"policy": js.engine.Policy(tile=1000)},
    {"policy": js.engine.Policy(tile=0, barrier=True, ride=False), "unroll": STEPS},
]


@pytest.mark.parametrize("seed", range(24))
def test_random_programs(seed):
    step, params, state, xs = program(seed)
    run = jax.jit(
        value_and_gradients,
        static_argnames=("scan", "step", "order", "segment", "unroll", "policy"),
    )
    want = run(jax.lax.scan, step, params, state, xs)
    options = [OPTIONS[0], OPTIONS[1 + seed % (len(OPTIONS) - 1)]]
    for o in options:
        assert_equal(run(js.scan, step, params, state, xs, **o), want)
