"""`DiscreteLIF` equals its equations, written here in float64 NumPy, in every convention."""

import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxspike as js

T, N, C = 40, 2, 6
LATE = {"spike_delay": True, "fires": ">"}
RESETS = ["immediate", "before_charge", "after_charge", "never"]


def reference(n, x):
    """Outputs, membranes and currents, step by step, and every distance to a firing threshold."""
    strict, most = n.fires == ">", n.max_spike_count or np.inf
    v, c = np.full(x.shape[1:], n.v_leak), np.zeros(x.shape[1:])
    margins = []

    def fire(u):
        if n.v_threshold is None:
            return u
        margins.append(np.abs(u / n.v_threshold - np.maximum(np.round(u / n.v_threshold), 1)))
        k = np.zeros_like(u)
        for i in range(1, 1 + int(min(most, 50))):
            k += u > i * n.v_threshold if strict else u >= i * n.v_threshold
        return k

    def reset(u, k, at):
        return np.where(k > 0, n.v_reset, u) if at else u - k * n.v_threshold

    for current in x:
        c = c * (n.c_decay or 0) + n.c_gain * current

        def charge(v, c=c, current=current):
            return v * n.v_decay + n.v_leak * (1 - n.v_decay) + n.v_gain * c + n.x_gain * current

        hard = n.v_reset is not None
        last = fire(v)
        if n.v_threshold is None or n.reset_time == "never":
            v = charge(v)
        elif n.reset_time == "before_charge":
            v = charge(reset(v, last, hard))
        elif n.reset_time == "after_charge":
            v = reset(charge(v), last, hard)
        elif n.reset_time == "immediate_once":
            v = charge(v) - last * n.v_threshold
        else:
            v = charge(v)
        once = n.reset_time == "immediate_once"
        immediate = n.reset_time == "immediate" and n.v_threshold is not None
        low = -np.inf if n.v_min is None else n.v_min
        if not immediate and not once:
            v = np.maximum(v, low)
        y = last if n.spike_delay else fire(v)
        if immediate:
            v = np.maximum(reset(v, y, hard), low)
        if once:
            v = np.maximum(v - (y - last) * n.v_threshold, low)
        yield y, v, c
    assert not margins or min(m.min() for m in margins) > 1e-5


def cases():
    """Every reset at every time, alone and together with the other conventions."""
    synapse = {"c_decay": 0.5, "c_gain": 0.8, "v_gain": 0.7, "x_gain": 0.3, "v_leak": -0.2}
    for reset, v_reset in itertools.product(RESETS, (None, -0.1)):
        fields = {"reset_time": reset, "v_reset": v_reset, "v_decay": 0.8}
        yield fields
        fields |= {"max_spike_count": None}
        yield fields if reset == "immediate" else synapse | fields | LATE
    yield synapse | {"v_min": -0.3, "v_decay": -0.4, "max_spike_count": 3, "v_threshold": 0.4}
    yield synapse | {"v_min": -0.3, "reset_time": "after_charge", "v_threshold": 0.7}
    yield synapse | {"v_threshold": None, "v_min": -0.5}
    yield {"v_threshold": None, "v_decay": 1.0}
    yield {"reset_time": "immediate_once", "v_reset": None, "v_threshold": 0.5}
    yield synapse | {"reset_time": "immediate_once", "v_reset": None, "max_spike_count": 3}
    yield {"v_threshold": -50.0, "v_leak": -50.7, "v_reset": -52.0, "reset_time": "after_charge"}


CASES = list(cases())


@pytest.mark.parametrize("fields", CASES, ids=lambda f: "-".join(map(str, f.values())))
def test_equations(fields):
    neuron = js.DiscreteLIF(**fields)
    x = np.random.default_rng(3).normal(0.4, 0.8, (T, N, C))
    want = [np.stack(a) for a in zip(*reference(neuron, x), strict=True)]

    def step(state, x):
        state, y = neuron(state, x)
        return state, (y, state)

    y, state = jax.jit(lambda x: jax.lax.scan(step, neuron.init_state((N, C)), x)[1])(jnp.array(x))
    if neuron.v_threshold is None:
        np.testing.assert_allclose(y, want[0], rtol=1e-5, atol=1e-5)
    else:
        assert want[0].any()
        np.testing.assert_array_equal(y, want[0])
    np.testing.assert_allclose(state.v, want[1], rtol=1e-5, atol=1e-5)
    if neuron.c_decay is None:
        assert state.c is None
    else:
        np.testing.assert_allclose(state.c, want[2], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("most", [1, 3, None])
def test_exactly_at_threshold(most):
    x = jnp.array([[-0.5, 0.25, 0.5, 0.75, 1.0, 2.0]])
    for fires, want in ((">=", [0, 0, 1, 1, 2, 4]), (">", [0, 0, 0, 1, 1, 3])):
        neuron = js.DiscreteLIF(v_threshold=0.5, v_reset=None, fires=fires, max_spike_count=most)
        state, y = neuron(neuron.init_state((1, 6)), x)
        np.testing.assert_array_equal(y[0], np.clip(want, 0, most))
        np.testing.assert_array_equal(state.v, x - 0.5 * y)


@pytest.mark.parametrize("most", [1, 3, None])
@pytest.mark.parametrize("fires", [">", ">="])
def test_derivative_of_the_spikes_is_the_surrogate_at_the_distance_to_threshold(most, fires):
    slope = js.surrogate.S2NN()  # not the same on both sides
    x = jnp.array([-1.0, 0.3, 0.5, 0.9, 1.6, 5.0])

    def run(threshold, x):
        neuron = js.DiscreteLIF(
            v_threshold=threshold, surrogate=slope, fires=fires, max_spike_count=most
        )
        state, y = neuron(neuron.init_state((6,)), x)
        return y.sum(), state.v.sum()

    (by_threshold, by_x), (_, by_x_of_v) = jax.jacrev(run, (0, 1))(0.5, x)
    np.testing.assert_allclose(by_x, slope(x - 0.5), rtol=1e-6)
    np.testing.assert_allclose(by_threshold, -slope(x - 0.5).sum(), rtol=1e-6)
    fired = (x > 0.5 if fires == ">" else x >= 0.5).astype(float)
    np.testing.assert_allclose(by_x_of_v, 1 - fired - x * slope(x - 0.5), rtol=1e-6)


@pytest.mark.parametrize("reset", RESETS[:3])
@pytest.mark.parametrize("v_reset", [None, 0.5])
def test_detached_reset_has_no_gradient_through_the_spikes(reset, v_reset):
    x = jnp.array([[1.5, 0.5], [0.2, 0.3], [0.7, 1.1]])

    def last(x, detach):
        neuron = js.DiscreteLIF(v_decay=0.5, v_reset=v_reset, reset_time=reset, detach_reset=detach)
        state, y = jax.lax.scan(neuron, neuron.init_state((2,)), x)
        return state.v.sum(), y

    (gradient, y) = jax.grad(last, has_aux=True)(x, True)
    f0, f1, f2 = np.where((y == 0) | (v_reset is None), 1.0, 0.0)  # what the reset leaves
    want = {
        "immediate": [f0 * f1 * f2 / 4, f1 * f2 / 2, f2],
        "before_charge": [f0 * f1 / 4, f1 / 2, np.ones(2)],
        "after_charge": [f0 * f1 / 4, f0 * f1 / 2, f1],
    }[reset]
    np.testing.assert_allclose(gradient, want, rtol=1e-6)
    assert np.any(gradient != jax.grad(last, has_aux=True)(x, False)[0])


def test_errors():
    def refused(message, error=ValueError, **fields):
        with pytest.raises(error, match=re.escape(message)):
            js.DiscreteLIF(**fields)

    most = "`DiscreteLIF(max_spike_count=...)` must be"
    refused(f"{most} at least 1, got 0.", max_spike_count=0)
    for value in (1.5, True):
        refused(
            f"{most} an integer, got {value}. Give an int.",
            error=TypeError,
            max_spike_count=value,
        )
    delay = "`DiscreteLIF(spike_delay=...)` must be False where there is no threshold or the reset "
    fix = "Give a threshold and `reset_time='before_charge'` or `'after_charge'`."
    refused(
        f"{delay}is immediate, got v_threshold=1.0 and reset_time='immediate'. {fix}",
        spike_delay=True,
    )
    refused(
        f"{delay}is immediate, got v_threshold=None and reset_time='never'. {fix}",
        spike_delay=True,
        reset_time="never",
        v_threshold=None,
    )
    refused(
        "`DiscreteLIF(v_reset=...)` must be None with reset_time='immediate_once', got 0.0. Use "
        "'immediate'.",
        reset_time="immediate_once",
    )
    refused("`DiscreteLIF(fires=...)` must be one of ('>=', '>'), got '<'.", fires="<")
    refused("`DiscreteLIF(c_decay=...)` must be between -1 and 1, got 1.5.", c_decay=1.5)
    refused(
        "`DiscreteLIF(v_threshold=...)` must be greater than 0 to count spikes, got -50.0. "
        "Use `max_spike_count=1`.",
        v_threshold=-50.0,
        v_reset=-60.0,
        max_spike_count=None,
    )


@pytest.mark.parametrize("v_reset", [1.0, 2.0, np.inf, jnp.array([0.0, 1.5])])
def test_a_reset_to_where_it_would_fire_again_is_refused(v_reset):
    for neuron, what in (
        (js.DiscreteLIF, "less than 1.0"),
        (js.nir.NIRNeuron, "less than 1.0"),
        (js.TernaryIF, "closer to 0 than 1.0"),
        (js.TernaryLIF, "closer to 0 than 1.0"),
    ):
        must = f"`{neuron.__name__}(v_reset=...)` must be {what}, its v_threshold, got {v_reset}."
        with pytest.raises(ValueError, match=re.escape(must)):
            neuron(v_threshold=1.0, v_reset=v_reset)
    with pytest.raises(
        ValueError, match=re.escape("closer to 0 than 1.0, its v_threshold, got -1")
    ):
        js.TernaryIF(v_reset=-1.0)
    js.DiscreteLIF(v_threshold=-50.0, v_reset=-52.0)
    js.DiscreteLIF(v_threshold=1.0, v_reset=v_reset, reset_time="never")
    js.presets.norse.lif(v_th=1.0, v_reset=0.5)
    with pytest.raises(ValueError, match=re.escape("(v_reset=...)` must be less than 1.0, its")):
        js.presets.norse.lif(v_th=1.0, v_reset=1.0)


def test_a_leak_of_another_shape_is_refused_by_name():
    neuron = js.DiscreteLIF(v_leak=jnp.zeros(3))
    message = (
        "`init_state(shape=...)` must be a shape that `v_leak` of shape (3,) broadcasts into, "
        "got (2, 4). Give one value, or one per channel."
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        neuron.init_state((2, 4))
