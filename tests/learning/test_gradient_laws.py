"""Online gradients against the reverse mode of a step that is cut by hand, in float64."""

import functools

import gradient_networks
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gradient_networks import SOFT, check_spikes, error, first, forward, in_reverse
from neurons import ROWS

import jaxspike as js
from jaxspike.learning import accumulate, cut, online

N, M, H, OUT, T = 2, 3, 4, 2, 12
stop = jax.lax.stop_gradient
readout = js.LI(tau=5.0)


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def sequence():
    """Spikes and targets."""
    spikes = np.random.default_rng(4).random((T, N, M)) < 0.4
    return jnp.asarray(spikes * 1.0), normal(5, T, N, OUT)


# ---- every neuron: recurrent, with a leaky readout


def recurrent(neuron, scale, *, feed_back):
    def step(params, state, x):
        x, target = x
        h, z, r = state
        current = x @ params["w"] + feed_back(z) @ params["r"] + params["b"]
        h, z = neuron(h, current)
        r, y = readout(r, z @ params["out"])
        return (h, z, r), ((y - target) ** 2).mean()

    params = {
        "w": scale * normal(0, M, H),
        "r": 0.3 * normal(1, H, H),
        "b": 0.1 * normal(2, H),
        "out": normal(3, H, OUT),
    }
    at_rest = neuron.init_state((N, H), jnp.float64), readout.init_state((N, OUT), jnp.float64)
    return step, params, (at_rest[0], jnp.zeros((N, H)), at_rest[1])


NAMES = [name for name, row in ROWS.items() if name != "Delay" and not row.slow]  # is refused
SLOW = pytest.param([name for name, row in ROWS.items() if row.slow], marks=pytest.mark.slow)


@pytest.mark.parametrize("names", [*[NAMES[i::5] for i in range(5)], SLOW], ids=" ".join)
def test_local_is_exact_but_for_spikes_fed_back(names):
    """Several neurons beside each other in one step, each with weights and a loss of its own."""
    step, params, state = beside(names, feed_back=lambda z: z)
    by_hand, *_ = beside(names, feed_back=stop)
    want = in_reverse(by_hand, params, state, sequence(), has_aux=True)
    (loss, spikes), grads = forward(online(step, has_aux=True), params, state, sequence())
    for name in names:
        assert error(grads[name], want[1][name]) < 1e-12, name
        assert not ROWS[name].spikes or 0.03 < abs(spikes[name]).mean() < 0.97, name
    assert error(loss, want[0][0]) < 1e-12


def beside(names, **options):
    rows = {name: ROWS[name] for name in names}
    each = {name: recurrent(row.neuron, row.scale, **options) for name, row in rows.items()}

    def step(params, state, x):
        found = {name: each[name][0](params[name], state[name], x) for name in names}
        new = {name: state for name, (state, _) in found.items()}
        return new, (sum(loss for _, loss in found.values()), {n: s[1] for n, s in new.items()})

    params, state = ({name: each[name][i] for name in names} for i in (1, 2))
    return step, params, state


def test_traces_and_total_derivatives_give_backpropagation_through_time():
    """The traces of e-prop, with the derivative of the loss by each spike on every path."""
    neuron = ROWS["ALIF"].neuron
    _, params, state = recurrent(neuron, ROWS["ALIF"].scale, feed_back=stop)
    out = params.pop("out")
    x, target = sequence()
    moved = jnp.zeros((T, N, H))

    def spikes(params, state, x, moved):
        h, z = neuron(state[0], x @ params["w"] + state[1] @ params["r"] + params["b"])
        return (h, z + moved), z

    def loss(params, moved):
        def step(state, x):
            s, _ = spikes(params, state[:2], *x)
            r, y = readout(state[2], s[1] @ out)
            return (*s, r), y

        return ((jax.lax.scan(step, state, (x, moved))[1] - target) ** 2).mean()

    want, total = jax.grad(loss, (0, 1))(params, moved)

    def step(params, state, x):
        x, signal = x
        state, z = spikes(params, state, x, 0.0)
        return state, (signal * z).sum()

    _, got = forward(online(step), params, state[:2], (x, total))
    assert error(got, want) < 1e-12
    _, without = forward(online(step, credit="none"), params, state[:2], (x, total))
    assert error(without, want) > 0.01


def test_the_rules_differ_and_layer_is_exact():
    neuron = ROWS["ALIF"].neuron
    step, params, state = recurrent(neuron, 1.5, feed_back=lambda z: z)
    check_spikes(step, params, state, sequence())
    exact = in_reverse(step, params, state, sequence())
    assert error(in_reverse(cut(step, "layer"), params, state, sequence()), exact) < 1e-12
    assert error(in_reverse(cut(step, "full"), params, state, sequence()), exact) == 0
    for credit in ("local", "none"):
        loss, grads = in_reverse(cut(step, credit), params, state, sequence())
        assert loss == exact[0]
        assert error(grads, exact[1]) > 0.05
    _, grads = forward(online(step, credit="none"), params, state, sequence())
    assert error(grads, in_reverse(cut(step, "none"), params, state, sequence())[1]) < 1e-12


def test_windows():
    """With one credit the window changes nothing; "full" in a window of T is the whole gradient."""
    step, params, state = recurrent(ROWS["CubaLIF"].neuron, 1.5, feed_back=lambda z: z)
    check_spikes(step, params, state, sequence())
    local = in_reverse(cut(step), params, state, sequence())
    exact = in_reverse(step, params, state, sequence())
    assert error(forward(online(step, window=4), params, state, sequence()), local) < 1e-12
    whole = online(step, credit=("full", "local"), window=T)
    assert error(forward(whole, params, state, sequence()), exact) < 1e-12
    between = online(step, credit=("full", "local"), window=3)
    grads = forward(between, params, state, sequence())[1]
    assert error(grads, exact[1]) > 1e-3
    assert error(grads, local[1]) > 1e-3


def test_each_layer_has_its_own_memory():
    """In a deep network a parameter keeps its own pool, and a readout behind the last."""
    first_layer, second = js.ALIF(beta=0.3), js.LIF(decay_input=False)

    def step(params, state, x, keep=(True, True)):
        x, target = x
        a, b, r = state
        a, (b, r) = (s if k else stop_all(s) for s, k in zip((a, (b, r)), keep, strict=True))
        a, z = first_layer(a, x @ params["w1"])
        b, z = second(b, z @ params["w2"])
        r, y = readout(r, z @ params["out"])
        return (a, b, r), ((y - target) ** 2).mean()

    params = {"w1": 2 * normal(0, M, H), "w2": 2 * normal(1, H, H), "out": normal(2, H, OUT)}
    state = (
        first_layer.init_state((N, H), jnp.float64),
        second.init_state((N, H), jnp.float64),
        readout.init_state((N, OUT), jnp.float64),
    )
    _, got = forward(online(step), params, state, sequence())
    keep_first, keep_rest = (
        in_reverse(functools.partial(step, keep=k), params, state, sequence())[1]
        for k in ((True, False), (False, True))
    )
    want = {"w1": keep_first["w1"], "w2": keep_rest["w2"], "out": keep_rest["out"]}
    assert error(got, want) < 1e-12
    assert error(got["w1"], in_reverse(step, params, state, sequence())[1]["w1"]) > 0.05


def stop_all(tree):
    return jax.tree.map(stop, tree)


def test_online_training_through_time():
    """The formula of OTTT: presynaptic traces times the signal of this step alone."""
    neuron = js.LIF(tau=2.0, v_reset=None, detach_reset=True, decay_input=False)
    w1, w2, b = 1.5 * normal(0, M, H), 1.5 * normal(1, H, OUT), jnp.full(H, 0.2)

    def step(params, state, x):
        x, target = x
        a, z = neuron(state[0], x @ params["w1"] + params["b"])
        c, y = neuron(state[1], z @ params["w2"])
        return (a, c), ((y - target) ** 2).mean()

    state = tuple(neuron.init_state((N, n), jnp.float64) for n in (H, OUT))
    params = {"w1": w1, "b": b, "w2": w2}
    made = online(step).init_state(params, state, first(sequence()))
    assert sum(a.size for a in jax.tree.leaves(made.traces)) == N * (M + 1 + H)
    _, got = forward(online(step), params, state, sequence())

    v1, v2, in_trace, z_trace, one = (jnp.zeros((N, n)) for n in (H, OUT, M, H, 1))
    want = jax.tree.map(jnp.zeros_like, params)
    for x, target in zip(*sequence(), strict=True):
        h1 = 0.5 * v1 + x @ w1 + b
        z = jnp.where(h1 >= 1, 1.0, 0.0)
        h2 = 0.5 * v2 + z @ w2
        y = jnp.where(h2 >= 1, 1.0, 0.0)
        v1, v2 = h1 - z, h2 - y
        in_trace, z_trace, one = 0.5 * in_trace + x, 0.5 * z_trace + z, 0.5 * one + 1
        d2 = 2 * (y - target) / y.size * neuron.surrogate(h2 - 1)
        d1 = (d2 @ w2.T) * neuron.surrogate(h1 - 1)
        found = {"w1": in_trace.T @ d1, "b": (one * d1).sum(0), "w2": z_trace.T @ d2}
        want = jax.tree.map(jnp.add, want, found)
    assert error(got, want) < 1e-12


def test_factored_traces():
    """The formula of ES-D-RTRL, for a neuron whose derivatives vary over time."""
    a, lif = 0.8, js.LIF(tau=2.0, decay_input=False, detach_reset=True)
    params = {"w": 1.5 * normal(0, M, OUT), "b": jnp.full(OUT, 0.2)}

    def step(params, state, x):
        x, target = x
        state, z = lif(state, x @ params["w"] + params["b"])
        return state, ((z - target) ** 2).mean()

    state = lif.init_state((N, OUT), jnp.float64)
    factored = online(step, traces="factored", decay=a)
    made = factored.init_state(params, state, first(sequence()))
    assert sum(t.size for t in jax.tree.leaves(made.traces)) == N * (M + OUT + 1 + OUT)
    _, got = forward(factored, params, state, sequence())

    v, f = jnp.zeros((2, N, OUT))
    p, weight, want, rates = jnp.zeros((N, M)), 0.0, 0.0, []
    for x, target in zip(*sequence(), strict=True):
        h = 0.5 * v + x @ params["w"] + params["b"]
        z = jnp.where(h >= 1, 1.0, 0.0)
        back = 2 * (z - target) / z.size * lif.surrogate(h - 1)
        p, weight = a * p + x, a * weight + 1 - a
        signal = (a * 0.5 * back * f + (1 - a) * back) / weight
        want, f = want + p.T @ signal, a * 0.5 * (1 - z) * f + (1 - a) * (1 - z)
        v = h * (1 - z)
        rates.append(z.mean())
    assert 0.05 < np.mean(rates) < 0.6
    assert error(got["w"], want) < 1e-12
    exact = in_reverse(step, params, state, sequence())[1]
    assert error(got["b"], exact["b"]) < 1e-12  # is added, so its traces are per neuron
    assert error(got["w"], exact["w"]) > 0.05


def test_filtered_operands_equal_traces_per_synapse():
    """A time constant for every neuron, all equal, cannot be shared: the same numbers."""

    def of(tau):
        neuron = js.LIF(tau=tau, v_reset=None, detach_reset=True, decay_input=False)
        return recurrent(neuron, 1.5, feed_back=lambda z: z)

    found = []
    for tau in (3.0, jnp.full(H, 3.0)):
        step, params, state = of(tau)
        made = online(step).init_state(params, state, first(sequence()))
        found.append((made, forward(online(step), params, state, sequence())))
    (shared, a), (own, b) = found
    assert error(a, b) < 1e-12
    assert sum(x.size for x in jax.tree.leaves(shared)) < sum(x.size for x in jax.tree.leaves(own))


def convolve(x, kernel):
    return jax.lax.conv_general_dilated(
        x, kernel, (2, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=2
    )


def test_convolutions_with_pooling():
    """Strided, grouped, with a frozen BatchNorm and pooling behind: the cut step in reverse."""

    def step(params, state, x):
        x, target = x
        u = (convolve(x, params["c1"]) - 0.1) * params["scale"] + params["b"]
        u = jax.lax.reduce_window(u, 0.0, jax.lax.add, (1, 1, 2, 1), (1, 1, 2, 1), "VALID") / 2
        a, z = SOFT(state[0], u)
        b, z = SOFT(state[1], convolve(z, params["c2"]))
        y = z.reshape(N, -1) @ params["out"]
        return (a, b), ((y - target) ** 2).mean()

    params = {
        "c1": normal(0, 3, 3, 1, 4),
        "scale": 1 + 0.2 * normal(6, 4),
        "b": 0.3 * normal(1, 4),
        "c2": normal(2, 3, 3, 2, 2),
        "out": normal(3, 4, OUT),
    }
    xs = jnp.abs(normal(4, T, N, 4, 4, 2)), sequence()[1]
    state = tuple(SOFT.init_state((N, *s), jnp.float64) for s in ((2, 2, 4), (1, 2, 2)))
    want = in_reverse(cut(step), params, state, xs)
    for window in (1, 4):
        assert error(forward(online(step, window=window), params, state, xs), want) < 1e-12
    assert all(a.any() for a in want[1].values())
    assert error(want[1], in_reverse(step, params, state, xs)[1]) > 0.05


def n_convolutions(f, *args):
    return jax.jit(f).lower(*args).compile().as_text().count(" convolution(")


def test_neurons_that_filter_alike_need_one_product_for_this_step_and_the_past():
    """Unless what enters them reaches the loss by itself, as in the second layer."""

    def step(params, state, x, *, seen=False):
        x, target = x
        a, z = SOFT(state[0], convolve(x, params["c1"]))
        u = convolve(z, params["c2"])
        b, z = SOFT(state[1], u)
        z = z + 0.1 * (u - state[1].v) if seen else z
        y = z.reshape(N, -1) @ params["out"]
        return (a, b), ((y - target) ** 2).mean()

    params = {"c1": normal(0, 3, 3, 1, 2), "c2": normal(2, 3, 3, 1, 2), "out": normal(3, 8, OUT)}
    xs = jnp.abs(normal(4, T, N, 4, 4, 2)), sequence()[1]
    state = tuple(SOFT.init_state((N, *s), jnp.float64) for s in ((2, 4, 2), (1, 4, 2)))
    both = functools.partial(step, seen=True)
    made = online(step).init_state(params, state, first(xs))
    args = params, made, first(xs)
    none = made._replace(traces=[])
    products = n_convolutions(online(step, credit="none"), params, none, first(xs))
    assert products == 2 + 2 + 1  # forward, of each kernel, of the second layer's input
    assert n_convolutions(online(step), *args) == products
    assert n_convolutions(online(both), *args) == products + 1
    want = in_reverse(cut(both), params, state, xs)
    assert error(forward(online(both), params, state, xs), want) < 1e-12
    assert error(want[1], in_reverse(both, params, state, xs)[1]) > 0.05


def test_a_convolution_is_its_unrolled_matrix():
    state = SOFT.init_state((N, 4, 2, 2), jnp.float64)
    kernel = normal(0, 3, 3, 1, 2)
    xs = jnp.abs(normal(1, T, N, 8, 2, 2)), normal(2, T, N, 16)

    def step(current, params, state, x):
        x, target = x
        state, z = SOFT(state, current(x, params))
        return state, ((z.reshape(N, -1) - target) ** 2).mean()

    unit = jnp.eye(8 * 2 * 2).reshape(-1, 8, 2, 2)

    def unrolled(x, w):
        return (x.reshape(N, -1) @ w).reshape(N, 4, 2, 2)

    matrix, back = jax.vjp(lambda k: convolve(unit, k).reshape(32, -1), kernel)
    _, by_kernel = forward(online(functools.partial(step, convolve)), kernel, state, xs)
    _, by_matrix = forward(online(functools.partial(step, unrolled)), matrix, state, xs)
    assert error(by_kernel, back(by_matrix)[0]) < 1e-12


def test_learned_fields_of_a_neuron():
    """A threshold for all neurons and a decay per neuron are remembered per neuron."""

    def step(params, state, x):
        neuron = js.ALIF(v_threshold=params["threshold"], v_decay=params["decay"], beta=0.3)
        state, z = neuron(state, x[0] @ params["w"])
        return state, (z @ params["out"] * x[1]).sum()

    params = {
        "threshold": jnp.asarray(1.1),
        "decay": jnp.linspace(0.6, 0.9, H),
        "w": 1.5 * normal(0, M, H),
        "out": normal(1, H, OUT),
    }
    state = js.ALIF().init_state((N, H), jnp.float64)
    want = in_reverse(step, params, state, sequence())
    assert error(forward(online(step), params, state, sequence()), want) < 1e-12


def test_vmap_over_samples_and_reset_by_row():
    step, params, state = recurrent(ROWS["LIF-hard"].neuron, 3.0, feed_back=lambda z: z)
    check_spikes(step, params, state, sequence())
    whole = online(step)
    made = whole.init_state(params, state, first(sequence()))
    after, (loss, grads) = accumulate(whole)(params, made, sequence())

    def one(state, xs):
        state, xs = jax.tree.map(lambda a: a[None], state), jax.tree.map(lambda a: a[:, None], xs)
        made = whole.init_state(params, state, first(xs))
        return accumulate(whole)(params, made, xs)[1]

    losses, each = jax.vmap(one, in_axes=(0, 1))(state, sequence())
    mean = jax.tree.map(lambda a: a.mean(0), (losses, each))
    assert error(mean, (loss, grads)) < 1e-12

    again = whole.reset(after, jnp.asarray([True, False]), state)
    for a, b, c in zip(*map(jax.tree.leaves, (again, after, made)), strict=True):
        np.testing.assert_array_equal(a[0], c[0])
        np.testing.assert_array_equal(a[1], b[1])


@pytest.mark.parametrize(("credit", "window"), [("none", 1), ("local", 4)])
def test_memory_does_not_depend_on_time(credit, window):
    step, params, state = recurrent(ROWS["ALIF"].neuron, 1.0, feed_back=lambda z: z)
    learn = online(step, credit=credit, window=window)
    made = learn.init_state(params, state, first(sequence()))
    total = jax.jit(accumulate(learn))

    def temporary(steps):
        xs = jax.tree.map(
            lambda a: jax.ShapeDtypeStruct((steps, *a.shape[1:]), a.dtype), sequence()
        )
        return total.lower(params, made, xs).compile().memory_analysis().temp_size_in_bytes

    assert temporary(100) == temporary(10_000)


@pytest.mark.parametrize(("credit", "window"), [("layer", 3), ("full", 1)])
def test_jacobians(credit, window):
    """Within a recurrent layer, or everywhere: the reverse mode of the cut step."""
    step, params, state, xs = gradient_networks.network(16)
    check_spikes(step, params, state, xs)
    want = in_reverse(cut(step, credit), params, state, xs)
    assert (
        error(forward(online(step, credit=credit, window=window), params, state, xs), want) < 1e-12
    )
    if credit == "layer":
        assert error(want[1], in_reverse(step, params, state, xs)[1]) > 0.05


@pytest.mark.parametrize(("seed", "window"), [(0, 3), (36, 1)])
def test_random_networks(seed, window):
    step, params, state, xs = gradient_networks.network(seed)
    check_spikes(step, params, state, xs)
    want = in_reverse(cut(step), params, state, xs)
    assert error(forward(online(step, window=window), params, state, xs), want) < 1e-11
    assert error(want[1], in_reverse(step, params, state, xs)[1]) > 0.05
