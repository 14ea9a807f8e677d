"""`train.sparse`: which weights are zero, and which ones move."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxspike as js

PARAMS = {
    "w": jnp.asarray(np.random.default_rng(0).permutation(20).reshape(4, 5) + 1.0) / 20,
    "b": jnp.zeros(5),
}
GRADS = {"w": jnp.asarray(np.random.default_rng(1).normal(size=(4, 5)), jnp.float32)}
GRADS["b"] = jnp.ones(5)


def run(optimizer, steps):
    params, state, seen = PARAMS, optimizer.init(PARAMS), []

    @jax.jit
    def step(params, state):
        updates, state = optimizer.update(GRADS, state, params)
        return optax.apply_updates(params, updates), state

    for _ in range(steps):
        params, state = step(params, state)
        seen.append(params)
    return seen


def test_masks_stay():
    first, *_, last = run(js.train.sparse(optax.sgd(0.01), 0.7), 5)
    largest = PARAMS["w"] > 14 / 20
    np.testing.assert_array_equal(first["w"] != 0, largest)
    want = jnp.where(largest, PARAMS["w"] - 0.05 * GRADS["w"], 0)
    np.testing.assert_allclose(last["w"], want, rtol=1e-5)
    np.testing.assert_allclose(last["b"], -0.05 * jnp.ones(5), rtol=1e-5)


def test_masks_move_to_the_largest_gradients():
    seen = run(js.train.sparse(optax.sgd(0.01), 0.5, every=3, regrow=0.4), 4)
    before, moved, after = seen[1]["w"], seen[2]["w"], seen[3]["w"]
    smallest = jnp.sort(abs(before[before != 0]))[3]
    stay = abs(before) > smallest
    gradient = jnp.where(stay, 0, abs(GRADS["w"]))
    grown = gradient >= jnp.sort(gradient.ravel())[-4]
    assert stay.sum() == 6 and grown.sum() == 4
    new = grown & (before == 0)
    assert new.any()
    np.testing.assert_array_equal(after != 0, stay | grown)
    np.testing.assert_allclose(moved[new], -0.01 * GRADS["w"][new], rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (
            lambda: js.train.sparse(3, 0.5),
            "`sparse(optimizer=...)` must be a transformation of Optax, got 3. "
            "Give one such as `optax.adam(1e-3)`.",
        ),
        (
            lambda: js.train.sparse(optax.sgd(1.0), 1.0),
            "`sparse(sparsity=...)` must be less than 1, got 1.0.",
        ),
        (
            lambda: js.train.sparse(optax.sgd(1.0), 0.5, regrow="some"),
            "`sparse(regrow=...)` must be a number, got 'some'. Give a float.",
        ),
        (
            lambda: run_without_parameters(js.train.sparse(optax.sgd(1.0), 0.5)),
            "`sparse(...).update` must get the parameters, got None. "
            "Call `optimizer.update(grads, state, params)`.",
        ),
    ],
)
def test_bad_input(call, error):
    with pytest.raises((TypeError, ValueError)) as e:
        call()
    assert str(e.value) == error


def run_without_parameters(optimizer):
    optimizer.update(GRADS, optimizer.init(PARAMS))
