"""The errors of `js.learning`, by their exact sentences; and the report of `explain`."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
import typechecker
from flax import nnx

import jaxspike as js
from jaxspike.learning import accumulate, cut, explain, online

location = sys.modules["jaxspike.engine.program.location"]
LIF = js.LIF()
SOFT = js.LIF(v_reset=None, detach_reset=True)
STATE = LIF.init_state((2, 4))


def line_of(f, n):
    """The n-th line of a function, as errors name it."""
    code = f.__code__
    return f"{code.co_filename}:{code.co_firstlineno + n} ({code.co_name})"


W = jnp.ones((3, 4))
X = jnp.ones((2, 3))


@pytest.fixture(autouse=True)
def lines_of_tests(monkeypatch):
    """The frames of the type checker are nobody's code."""
    monkeypatch.setattr(location, "LIBRARIES", [*location.LIBRARIES, Path(typechecker.__file__)])


def step(w, state, x):
    state, y = LIF(state, x @ w)
    return state, y.mean()


def convolved(w, state, x):
    dims = ("NWC", "WIO", "NWC")
    state, y = LIF(state, jax.lax.conv_general_dilated(x, w, (1,), "SAME", dimension_numbers=dims))
    return state, y.mean()


def embedded(w, state, x):
    """A lookup is linear in the table, not in the index."""
    state, y = SOFT(state, w[x[:, 0].astype(int)])
    return state, y.mean()


def gated(w, state, x):
    state, y = SOFT(state, jnp.where(x[:, :, None] > 0, w, 0.0).sum(1))
    return state, y.mean()


def divided(w, state, x):
    state, y = SOFT(state, (w / x[:, :, None]).sum(1))
    return state, y.mean()


def shifted(w, state, x):
    state = jnp.concatenate([state[1:], (x @ w)[None]])
    return state, state[0].mean()


def conditional(w, state, x):
    state, y = SOFT(state, jax.lax.cond(x.sum() > 0, lambda: x @ w, lambda: -x @ w))
    return state, y.mean()


def first_call(f, w=W, state=STATE, x=X, **options):
    return online(f, **options).init_state(w, state, x)


@pytest.mark.parametrize(
    ("kind", "call", "sentence"),
    [
        (
            ValueError,
            lambda: cut(step, "all"),
            "`cut(credit=...)` must be one of ('full', 'layer', 'local', 'none'), got 'all'.",
        ),
        (
            TypeError,
            lambda: cut(3),
            "`cut(step=...)` must be a function, got 3. "
            "Give a step function, a neuron or a network.",
        ),
        (
            ValueError,
            lambda: online(step, credit="all"),
            "`online(credit=...)` must be one of ('full', 'layer', 'local', 'none', "
            "('full', 'layer'), ('full', 'local'), ('full', 'none')), got 'all'.",
        ),
        (
            TypeError,
            lambda: first_call(step, has_aux=True),
            "`online(step, has_aux=True)` must have a step that returns `(state, (loss, aux))`, "
            "got float32[] beside the state. Return `(state, (loss, aux))`.",
        ),
        (
            ValueError,
            lambda: online(step, traces="factored", decay=1.5),
            "`online(decay=...)` must be greater than 0 and less than 1, got 1.5.",
        ),
        (
            ValueError,
            lambda: online(step, window=0),
            "`online(window=...)` must be at least 1, got 0.",
        ),
        (
            TypeError,
            lambda: accumulate(step),
            "`accumulate(online=...)` must be made by `online`, got a function. "
            "Call `online(step)` first.",
        ),
        (
            TypeError,
            lambda: first_call(lambda w, s, x: (s, None)),
            "`online(step)` must have a step that returns `(state, loss)` with a scalar loss, "
            "got None. Take its mean.",
        ),
        (
            TypeError,
            lambda: cut(step)(X),
            "`cut(step)` must be called as `(state, x)` or `(params, state, x)`, got 1 "
            "argument(s).",
        ),
        (
            TypeError,
            lambda: explain(3, W, STATE, X),
            "`explain(step=...)` must be a function, got 3. "
            "Give `step(params, state, x) -> (state, loss)`.",
        ),
        (
            ValueError,
            lambda: explain(step, W, STATE, X, credit="all"),
            "`explain(credit=...)` must be one of ('full', 'layer', 'local', 'none', "
            "('full', 'layer'), ('full', 'local'), ('full', 'none')), got 'all'.",
        ),
        (
            ValueError,
            lambda: accumulate(online(step))(W, first_call(step), 1.0),
            "`accumulate(online)(params, state, xs)` must be [T, ...], got the shape ().",
        ),
        (
            TypeError,
            lambda: online(step).reset(STATE, [True, False], STATE),
            "`reset(state=...)` must be the state of `online.init_state`, got a LIFState. "
            "Call it first.",
        ),
        (
            TypeError,
            lambda: online(step).reset(first_call(step), [1.0, 0.0], STATE),
            "`reset(done=...)` must be Boolean, got float32.",
        ),
        (
            ValueError,
            lambda: online(step).reset(first_call(step), [True] * 3, STATE),
            "`reset(state=...)` must be [3, ...], got the shape (2, 4). "
            "The batch must be the first axis of every state.",
        ),
        (
            ValueError,
            lambda: online(step).reset(first_call(step), [True, False], LIF.init_state((1, 4))),
            "`reset(rest=...)` must be like the state of the network, LIFState(v=(2, 4)), got "
            "LIFState(v=(1, 4)). Give the one that `init_state` was given.",
        ),
        (
            TypeError,
            lambda: first_call(lambda w, s, x: (x @ w).mean()),
            "`online(step=...)` must have a step that returns a pair `(state, y)`, got an array. "
            "Return the new state first.",
        ),
        (
            TypeError,
            lambda: first_call(lambda w, s, x: LIF(s, x @ w)),
            "`online(step)` must have a step that returns `(state, loss)` with a scalar loss, "
            "got float32[2, 4]. Take its mean.",
        ),
        (
            TypeError,
            lambda: first_call(lambda w, s, x: (s.v[0], (x @ w).mean()), state=STATE),
            "`online(step=...)` must have a step that keeps the structure of its state, got "
            "PyTreeDef(*) for PyTreeDef(CustomNode(namedtuple[LIFState], [*])). Return a state "
            "like the one it is given.",
        ),
        (
            TypeError,
            lambda: first_call(step, w=jnp.ones((3, 4), int)),
            "`online(step)(params, ...)` must be floating point, got params of int32. "
            "Close over it instead.",
        ),
        (
            TypeError,
            lambda: online(step)(W, STATE, X),
            "`online(step)(params, state, x)` must be the state of `online.init_state`, "
            "got a LIFState. Call it first.",
        ),
        (
            ValueError,
            lambda: online(step, window=4)(W, first_call(step), jnp.ones((5, 2, 3))),
            "`online(step, window=4)(params, state, x)` must be [4, ...], got the shape (5, 2, 3).",
        ),
        (
            ValueError,
            lambda: accumulate(online(step, window=4))(W, first_call(step), jnp.ones((10, 2, 3))),
            "`accumulate(online)(params, state, xs)` must have a number of time steps divisible "
            "by window=4, got 10. Pad the sequence or change the window.",
        ),
        (
            ValueError,
            lambda: online(step)(W, first_call(step)._replace(traces=[]), X),
            "`online(step)(params, state, x)` must be given a state of this step, got traces "
            "of another step, batch, window or credit. Call `online.init_state`.",
        ),
        (
            ValueError,
            lambda: first_call(
                convolved, jnp.ones((3, 1, 2)), LIF.init_state((2, 5, 2)), jnp.ones((2, 5, 1))
            ),
            "`online(step, credit='local')` must have parameters that are added to a neuron's "
            "input or multiply it as a matrix, got params, which enters through "
            f"`conv_general_dilated` at {line_of(convolved, 2)}. Use neurons with "
            "`v_reset=None, detach_reset=True`, or another credit.",
        ),
    ],
)
def test_refused(kind, call, sentence):
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("f", "operation"),
    [(embedded, "gather"), (gated, "select_n"), (divided, "div"), (conditional, "cond")],
)
def test_what_is_not_linear_in_its_operand_is_refused(f, operation):
    """A filtered index, predicate or divisor is none: the gradient would be wrong."""
    with pytest.raises(ValueError, match=f"got params, which enters through `{operation}`"):
        first_call(f)


@pytest.mark.parametrize("credit", ["local", "layer"])
def test_a_state_whose_entries_move_is_refused(credit):
    """No neuron has a memory of its own: the gradient would be zero."""
    state = jnp.zeros((3, 2, 4))
    sentence = (
        "{} must have a step in which every neuron keeps its own memory, got state, which "
        f'`slice` at {line_of(shifted, 1)} moves. Use the credit "full" or "none".'
    )
    with pytest.raises(ValueError) as caught:
        cut(shifted, credit)(W, state, X)
    assert str(caught.value) == sentence.format(f'`cut(step, "{credit}")`')
    with pytest.raises(ValueError) as caught:
        first_call(shifted, state=state, credit=credit)
    assert str(caught.value) == sentence.format(f"`online(step, credit={credit!r})`")


def test_a_delay_of_what_is_learned_is_refused():
    """Its buffer remembers the parameters, and no pool has it."""
    delay = js.Delay(steps=2)

    def behind(w, state, x):
        state, y = delay(state, x @ w)
        return state, (y**2).mean()

    def before(w, state, x):
        a, x = delay(state[0], x)
        b, y = LIF(state[1], x @ w)
        return (a, b), y.mean()

    with pytest.raises(ValueError, match=r"got state.buffer, which `Delay` at .*behind.* moves"):
        first_call(behind, state=delay.init_state((2, 4)))
    assert first_call(before, state=(delay.init_state((2, 3)), STATE)).traces


def test_delays_that_are_learned_have_no_memory_and_explain_says_so():
    """A delay line of the input remembers no parameter; the weights behind it are exact."""
    rngs = nnx.Rngs(0)
    delayed = js.nn.Delayed(nnx.Linear(3, 4, use_bias=False, rngs=rngs), max_delay=2, rngs=rngs)
    net = js.nn.Sequential(delayed, js.LIF())
    graph, params = nnx.split(net)

    def split(params, state, x):
        state, y = nnx.merge(graph, params)(state, x)
        return state, y.mean()

    found = explain(split, params, net.init_state((2, 3)), X).parameters
    delays, kernel = found.values()
    assert delays.gradient == "this step only, cut at dot_general"
    assert kernel.gradient == "exact"


def test_batch_norm_in_training_and_sequence_neurons_are_refused():
    rngs = nnx.Rngs(0)
    net = js.nn.Sequential(nnx.Linear(3, 4, rngs=rngs), nnx.BatchNorm(4, rngs=rngs), js.LIF())
    graph, params = nnx.split(net)

    def split(params, state, x):
        state, y = nnx.merge(graph, params)(state, x)
        return state, y.mean()

    for credit in ("local", "none"):
        with pytest.raises(ValueError) as caught:
            first_call(split, params, net.init_state((2, 3)), credit=credit)
        assert str(caught.value) == (
            "`online(step)` must have a step that treats every sample alone, got statistics over "
            f"samples in `rsqrt` at {line_of(split, 1)}, as of a BatchNorm in training mode. Call "
            "`net.eval()`, or use `jaxspike.nn.WSLinear`."
        )
    net.eval()
    graph, params = nnx.split(net)
    assert first_call(split, params, net.init_state((2, 3))).traces
    net = js.nn.Sequential(nnx.Linear(3, 4, rngs=rngs), js.PSN.init(4, key=jax.random.key(0)))
    graph, params = nnx.split(net)
    with pytest.raises(ValueError) as caught:
        first_call(split, params, net.init_state((2, 3)))
    assert str(caught.value) == (
        "`PSN(xs=...)` must be a whole sequence `[T, N, *]`, got a state and one step of shape "
        "(2, 4): a PSN has no single step. Call `neuron(xs)`, in a network `net(state, x_seq)`."
    )


@pytest.mark.parametrize("scan", [jax.lax.scan, js.scan])
def test_a_scan_inside_a_step_is_refused_by_its_line(scan):
    def inner(w, state, x):
        state, y = scan(lambda s, u: LIF(s, u), state, jnp.stack([x @ w] * 20))
        return state, y.mean()

    with pytest.raises(ValueError) as caught:
        first_call(inner)
    assert str(caught.value) == (
        "`online(step, credit='local')` must have a step in which every neuron keeps its own "
        f"memory, got state.v, which `scan` at {line_of(inner, 1)} moves. "
        'Use the credit "full" or "none".'
    )


def test_too_large_a_jacobian_is_refused_and_explained():
    w, state, x = jnp.ones((1000, 1000)), LIF.init_state((8, 1000)), jnp.ones((8, 1000))
    with pytest.raises(ValueError) as caught:
        online(step, credit="full").init_state(w, state, x)
    assert str(caught.value) == (
        "`online(step, credit='full')` must have derivatives of states by parameters of at most 16 "
        'GiB, got 30 GiB. Use `jax.vmap` over samples, the credit "local" or '
        '("full", "local"), or `cut` in reverse mode.'
    )
    assert explain(step, w, state, x, credit="full").bytes == 4 * 8 * 1000**3


def test_a_state_of_another_network_is_refused():
    other = first_call(step, jnp.ones((3, 5)), LIF.init_state((2, 5)))
    with pytest.raises(ValueError) as caught:
        online(step)(W, other, X)
    assert str(caught.value) == (
        "`LIF(x=...)` must have the shape that the state was built for, got (2, 4) for a state of "
        "(2, 5). A step of (2, 4) needs a state of `init_state((2, 4))`; time is axis 0, batch 1."
    )


def test_explain():
    neuron, readout = js.LIF(), js.LI()

    def deep(params, state, x):
        a, z = neuron(state[0], jnp.tanh(x @ params["before"]) @ params["w1"])
        b, z = neuron(state[1], z @ params["w2"])
        r, y = readout(state[2], z @ params["out"])
        return (a, b, r), y.mean()

    names = {"before": (3, 3), "w1": (3, 4), "w2": (4, 4), "out": (4, 2), "unused": (2,)}
    params = {name: jnp.ones(shape) for name, shape in names.items()}
    state = neuron.init_state((2, 4)), neuron.init_state((2, 4)), readout.init_state((2, 2))
    table = explain(deep, params, state, X)
    found = {name[8:-2]: m for name, m in table.parameters.items()}
    assert found["w2"].states == ("state[1].v", "state[2].v")
    assert found["w2"].stored == ("per synapse",)
    assert found["w2"].bytes == 2 * 4 * 2 * 4 * 4
    assert found["out"].stored == ("operand",)
    assert {name: m.gradient for name, m in found.items()} == {
        "before": "this step only, cut at dot_general",
        "w1": "cut at dot_general",
        "w2": "exact",
        "out": "exact",
        "unused": "zero: not used",
    }
    assert table.bytes == sum(m.bytes for m in found.values())
    assert table.bytes_per_step > 0
    assert "traces: " in str(table)
