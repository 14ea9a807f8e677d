"""Every refusal says what was given and what to do: each by its exact sentence."""

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxspike as js
from jaxspike import _elsewhere

LIF = js.LIF()
STATE = LIF.init_state((4, 8))


def raises(kind, sentence, f, *args, **kwargs):
    """The call raises exactly this, also while it is traced."""
    with pytest.raises(kind) as caught:
        f(*args, **kwargs)
    assert str(caught.value) == sentence


# ---- what a neuron is made of


@pytest.mark.parametrize(
    ("kind", "fields", "sentence"),
    [
        (js.LIF, {"tau": 1}, "`LIF(tau=...)` must be greater than 1, got 1.0."),
        (js.LIF, {"tau": -2.0}, "`LIF(tau=...)` must be greater than 1, got -2.0."),
        (js.LIF, {"tau": float("nan")}, "`LIF(tau=...)` must be greater than 1, got nan."),
        (
            js.IF,
            {"v_threshold": -1.0},
            "`IF(v_threshold=...)` must be greater than v_reset=0.0, got -1.0.",
        ),
        (js.IF, {"v_reset": np.nan}, "`IF(v_reset=...)` must be a number, got nan."),
        (
            js.LIF,
            {"tau": jnp.array([2.0, 0.5])},
            "`LIF(tau=...)` must be greater than 1, got [2.  0.5].",
        ),
        (
            js.LIF,
            {"detach_reset": 1},
            "`LIF(detach_reset=...)` must be one of (True, False), got 1.",
        ),
        (js.CubaLIF, {"c_decay": 1.5}, "`CubaLIF(c_decay=...)` must be between 0 and 1, got 1.5."),
        (
            js.GatedLIF,
            {"tau": jnp.array([0.5, -0.5])},
            "`GatedLIF(tau=...)` must be between 0 and 1, got [ 0.5 -0.5].",
        ),
        (
            js.ResonateAndFire,
            {"b": 0.2},
            "`ResonateAndFire(b=...)` must be less than 0, got 0.2.",
        ),
        (
            js.BRF,
            {"omega": 101.0},
            "`BRF(omega=...)` must be at most 1 / dt, with dt=0.01, got 101.0. Give a smaller dt.",
        ),
        (js.Delay, {"steps": 0}, "`Delay(steps=...)` must be at least 1, got 0."),
        (
            js.Alpha,
            {"exc_decay": 0.7},
            "`Alpha(exc_decay=..., inh_decay=...)` must be 0 < inh_decay < exc_decay < 1, "
            "got exc_decay=0.7 and inh_decay=0.8. Swap or separate them.",
        ),
        (
            js.surrogate.ATan,
            {"alpha": 0},
            "`ATan(alpha=...)` must be greater than 0, got 0.0.",
        ),
    ],
)
def test_values(kind, fields, sentence):
    raises(ValueError, sentence, kind, **fields)


@pytest.mark.parametrize(
    ("kind", "fields", "sentence"),
    [
        (
            js.Delay,
            {"steps": 2.0},
            "`Delay(steps=...)` must be an integer, got 2.0. Give an int.",
        ),
        (
            js.ILIF,
            {"max_spike_count": True},
            "`ILIF(max_spike_count=...)` must be an integer, got True. Give an int.",
        ),
        (js.LIAF, {"activation": 1}, "`LIAF(activation=...)` must be a function, got 1."),
        (
            js.LIF,
            {"v_threshold": None},
            "`LIF(v_threshold=...)` must be a number or an array, got None. "
            "Give a float or a jax.Array.",
        ),
        (
            js.LIF,
            {"tau": "2"},
            "`LIF(tau=...)` must be a number or an array, got '2'. Give a float or a jax.Array.",
        ),
        (
            js.LIF,
            {"tau": True},
            "`LIF(tau=...)` must be a number or an array, got True. Give a float or a jax.Array.",
        ),
        (
            js.LIF,
            {"v_threshold": [1.0, 2.0]},
            "`LIF(v_threshold=...)` must be a number or an array, got [1.0, 2.0]. "
            "Give a float or a jax.Array.",
        ),
        (
            js.LIF,
            {"tau": np.array([2 + 1j])},
            "`LIF(tau=...)` must be real, got complex128. Give floats.",
        ),
        (
            js.LIF,
            {"surrogate": 4.0},
            "`LIF(surrogate=...)` must be a Surrogate, got 4.0. Give an instance of `Surrogate`.",
        ),
        (
            js.LIF,
            {"surrogate_function": 4.0},
            "`LIF(surrogate_function=...)` is not a field of `LIF`. Use one of: "
            "tau, v_threshold, v_reset, v_rest, surrogate, decay_input, detach_reset.",
        ),
    ],
)
def test_types(kind, fields, sentence):
    raises(TypeError, sentence, kind, **fields)


def test_fields_by_position():
    raises(
        TypeError,
        "`KLIF(...)` must have at most 1 of its fields by position, got 2. "
        "Give `KLIF(tau, ...)`, the rest by name.",
        js.KLIF,
        2.0,
        True,
    )


def test_a_surrogate_that_is_a_function():
    raises(
        TypeError,
        "`spike(surrogate=...)` must be a Surrogate, got <built-in function abs>. "
        "Give one of `jaxspike.surrogate`, such as `ATan()`, or subclass `Surrogate`.",
        js.surrogate.spike,
        jnp.ones(3),
        abs,
    )
    raises(
        TypeError,
        "`spike(x=...)` must be floating point, got int32. Convert it first.",
        js.surrogate.spike,
        jnp.arange(3),
        js.surrogate.ATan(),
    )


def test_a_count_of_spikes():
    window = js.surrogate.Window()
    raises(
        ValueError,
        "`spike_count(most=...)` must be at least 1, got 0.",
        js.surrogate.spike_count,
        jnp.ones(3),
        0,
        window,
    )
    raises(
        TypeError,
        "`spike_count(x=...)` must be floating point, got int32. Convert it first.",
        js.surrogate.spike_count,
        jnp.arange(3),
        4,
        window,
    )
    raises(
        TypeError,
        "`spike_count(surrogate=...)` must be a Surrogate, got 1.0. "
        "Give one of `jaxspike.surrogate`, such as `ATan()`, or subclass `Surrogate`.",
        js.surrogate.spike_count,
        jnp.ones(3),
        4,
        1.0,
    )


def test_a_refractory_neuron_without_a_neuron():
    raises(
        TypeError,
        "`Refractory(neuron=...)` must be a Neuron, got 2. Give an instance of `Neuron`.",
        js.Refractory,
        2,
    )


# ---- what a neuron is called with


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["eager", "jit"])
@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        (
            (8,),
            "`LIF(x=...)` must have the shape that the state was built for, got (8,) for a state "
            "of (4, 8). An axis is missing: a step is `[N, *]`, a sequence `[T, N, *]`.",
        ),
        (
            (10, 4, 8),
            "`LIF(x=...)` must have the shape that the state was built for, got (10, 4, 8) for a "
            "state of (4, 8). For a sequence `[T, N, *]` call `jaxspike.scan(neuron, state, xs)`.",
        ),
        (
            (1, 8),  # would broadcast
            "`LIF(x=...)` must have the shape that the state was built for, got (1, 8) for a state "
            "of (4, 8). A step of (1, 8) needs a state of `init_state((1, 8))`; time is axis 0, "
            "batch 1.",
        ),
        (
            (4, 9),
            "`LIF(x=...)` must have the shape that the state was built for, got (4, 9) for a state "
            "of (4, 8). A step of (4, 9) needs a state of `init_state((4, 9))`; time is axis 0, "
            "batch 1.",
        ),
    ],
)
def test_input_of_another_shape(wrap, shape, sentence):
    raises(ValueError, sentence, wrap(lambda s, x: LIF(s, x)), STATE, jnp.ones(shape))


def test_state_of_batch_4_meets_an_input_of_batch_1():
    net = js.nn.Sequential(js.LIF())
    raises(
        ValueError,
        "`Spiking(x=...)` must have the shape that the state was built for, got (1, 8) for a state "
        "of (4, 8). A step of (1, 8) needs a state of `init_state((1, 8))`; time is axis 0, "
        "batch 1.",
        net,
        net.init_state((4, 8)),
        jnp.ones((1, 8)),
    )


def test_time_and_batch_swapped():
    sentence = (
        "`LIF(x=...)` must have the shape that the state was built for, got (10, 8) for a state of "
        "(4, 8). A step of (10, 8) needs a state of `init_state((10, 8))`; time is axis 0, batch 1."
    )
    raises(ValueError, sentence, js.scan, LIF, STATE, jnp.ones((4, 10, 8)))
    net = js.nn.Sequential(js.LIF())
    with pytest.raises(ValueError, match=r"got \(4, 10, 8\) for a state of \(4, 8\)"):
        net(net.init_state((4, 8)), jnp.ones((4, 10, 8)))


def test_scan_without_a_time_axis():
    raises(
        ValueError,
        "`LIF(x=...)` must have the shape that the state was built for, got (8,) for a state of "
        "(4, 8). An axis is missing: a step is `[N, *]`, a sequence `[T, N, *]`.",
        js.scan,
        LIF,
        STATE,
        jnp.ones((4, 8)),
    )


def test_state_of_another_neuron():
    for state, got in (
        (js.IF().init_state((4, 8)), "IFState"),
        (None, "None"),
        (jnp.ones((4, 8)), "ArrayImpl"),
    ):
        raises(
            TypeError,
            f"`LIF(state=...)` must be a state of this neuron, LIFState, got {got}. "
            "Build it with `neuron.init_state((4, 8))`; "
            "in a module keep the neuron as an attribute, or in `Spiking`.",
            LIF,
            state,
            jnp.ones((4, 8)),
        )


def test_complex_input_and_integer_state():
    raises(
        TypeError,
        "`LIF(x=...)` must be real, got complex64. Give its real part.",
        LIF,
        STATE,
        jnp.ones((4, 8), jnp.complex64),
    )
    raises(
        TypeError,
        "`init_state(dtype=...)` must be floating point, got int32. Use jnp.float32.",
        LIF.init_state,
        (4, 8),
        jnp.int32,
    )


def test_parameters_that_do_not_broadcast():
    sentence = (
        "`LIF(v_threshold=...)` must broadcast against x of shape (4, 8), got shape {}. "
        "Give one value, or one per channel: shape (8,)."
    )
    for shape in ((3,), (2, 4, 8)):
        neuron = js.LIF(v_threshold=jnp.ones(shape))
        raises(ValueError, sentence.format(shape), neuron, STATE, jnp.ones((4, 8)))


class Careless(js.Neuron):
    what: str = js.field.static(default="shape")

    def init_state(self, shape, dtype=jnp.float32):
        return jnp.zeros(shape, dtype)

    def step(self, state, x):
        if self.what == "structure":
            return (state,), x
        return (state, x.sum()) if self.what == "shape" else None


def test_a_step_that_breaks_its_promise():
    raises(
        ValueError,
        "`Careless.step` must keep the shapes of x, (4, 8), and of the state, [(4, 8)], "
        "got () and [(4, 8)].",
        Careless(),
        jnp.zeros((4, 8)),
        jnp.ones((4, 8)),
    )
    raises(
        TypeError,
        "`Careless.step` must return a state of the structure that it was given, "
        "PyTreeDef(*), got PyTreeDef((*,)).",
        Careless("structure"),
        jnp.zeros((4, 8)),
        jnp.ones((4, 8)),
    )
    raises(
        TypeError,
        "`Careless.step` must return a pair `(state, spikes)`, got NoneType.",
        Careless("nothing"),
        jnp.zeros((4, 8)),
        jnp.ones((4, 8)),
    )


# ---- what a scan is called with

X = jnp.ones((10, 4, 8))


@pytest.mark.parametrize(
    ("kind", "sentence", "args", "kwargs"),
    [
        (
            TypeError,
            "`scan(f=...)` must be callable as `f(state, x) -> (state, y)`, got 3. "
            "Give a neuron, a network or a function.",
            (3, STATE, X),
            {},
        ),
        (
            TypeError,
            "`scan(f=...)` must be callable as `f(state, x) -> (state, y)`, got the class LIF. "
            "Give an instance: `LIF(...)`.",
            (js.LIF, STATE, X),
            {},
        ),
        (
            ValueError,
            '`scan(order=...)` must be "layer", "step" or "parallel", got \'time\'.',
            (LIF, STATE, X),
            {"order": "time"},
        ),
        (
            ValueError,
            '`scan(segment=...)` must be a positive integer, "sqrt" or None, got 0.',
            (LIF, STATE, X),
            {"segment": 0},
        ),
        (
            ValueError,
            "`scan(unroll=...)` must be a positive integer or None, got True.",
            (LIF, STATE, X),
            {"unroll": True},
        ),
        (
            ValueError,
            "`scan(length=...)` must be a positive integer or None, got 0.",
            (LIF, STATE, None),
            {"length": 0},
        ),
        (
            ValueError,
            "`scan(xs=...)` must be given, got None. Or give `length=T`.",
            (LIF, STATE),
            {},
        ),
        (
            ValueError,
            "`scan(xs=...)` must have time as axis 0 of every array, got an array of shape (). "
            "Give a number that is the same at every step to `f` by closure.",
            (LIF, STATE, 1.0),
            {},
        ),
        (
            ValueError,
            "`scan(xs=..., length=...)` must agree on the number of time steps, got [9, 10]. "
            "Time is axis 0 of every array.",
            (LIF, STATE, X),
            {"length": 9},
        ),
        (
            ValueError,
            "`scan(xs=...)` must have at least one time step, got shapes [(0, 4, 8)].",
            (LIF, STATE, X[:0]),
            {},
        ),
    ],
)
def test_scan(kind, sentence, args, kwargs):
    raises(kind, sentence, js.scan, *args, **kwargs)


def test_an_empty_sequence_for_a_network():
    net = js.nn.Sequential(js.LIF())
    raises(
        ValueError,
        "`scan(xs=...)` must have at least one time step, got shapes [(0, 4, 8)].",
        net,
        net.init_state((4, 8)),
        X[:0],
    )


def test_batch_norm_in_training_inside_a_scan():
    rngs = nnx.Rngs(0)
    net = js.nn.Sequential(nnx.BatchNorm(8, rngs=rngs), js.LIF())
    state = net.init_state((4, 8))
    raises(
        ValueError,
        "`scan(Sequential, ...)` must have a step that changes no Flax variables, got one that "
        "does (BatchNorm or Dropout in training mode). Call the network on the whole sequence, "
        "`state, ys = net(state, x_seq)`, or freeze it with `net.eval()`. A module with a state of "
        "its own cannot hold such layers in training mode.",
        js.scan,
        net,
        state,
        X,
    )


# ---- neurons of a whole sequence

PSN = js.PSN.init(10, key=jax.random.key(0))
NO_STEP = (
    "`PSN(xs=...)` must be a whole sequence `[T, N, *]`, got a state and one step of shape (4, 8): "
    "a PSN has no single step. Call `neuron(xs)`, in a network `net(state, x_seq)`."
)


def test_a_neuron_without_a_step_is_stepped():
    raises(ValueError, NO_STEP, PSN, STATE, X[0])
    raises(ValueError, NO_STEP, js.scan, PSN, STATE, X)
    net = js.nn.Sequential(nnx.Linear(8, 8, rngs=nnx.Rngs(0)), PSN, js.LIF())
    state = net.init_state((4, 8))
    raises(ValueError, NO_STEP, net, state, X[0])
    raises(ValueError, NO_STEP, js.scan, net, state, X, order="step")


@pytest.mark.parametrize("shape", [(9, 4, 8), (), (0, 4, 8)])
def test_a_sequence_of_another_length(shape):
    sentence = (
        f"must have 10 time steps as axis 0, got shape {shape}. "
        "Its weights are made for that length."
    )
    raises(ValueError, f"`PSN(xs=...)` {sentence}", PSN, jnp.ones(shape))


def test_sequences_and_weights():
    raises(
        ValueError,
        "`SlidingPSN(xs=...)` must have at least one time step as axis 0, got shape (0, 4, 8).",
        js.SlidingPSN.init(3),
        X[:0],
    )
    raises(
        TypeError,
        "`PSN(xs=...)` must be real, got complex64. Give its real part.",
        PSN,
        X.astype(jnp.complex64),
    )
    raises(
        ValueError,
        "`PSN(weight=..., bias=...)` must have shapes [T, T] and [T], got (10, 10) and (10, 1). "
        "Use `PSN.init`.",
        js.PSN,
        PSN.weight,
        PSN.bias[:, None],
    )
    raises(
        ValueError,
        "`SlidingPSN(weight=...)` must have shape [k], got (1, 3). Use `SlidingPSN.init(k)`.",
        js.SlidingPSN,
        jnp.ones((1, 3)),
        -1.0,
    )
    raises(
        ValueError,
        "`MaskedPSN(k=...)` must be at least 1, got 0.",
        js.MaskedPSN.init,
        0,
        10,
        key=jax.random.key(0),
    )
    raises(
        ValueError,
        "`Spiking(learn=...)` must name parameters of `MaskedPSN`, got 'weights'. "
        "Use some of: lambda_.",
        js.nn.Spiking,
        js.MaskedPSN.init(2, 10, key=jax.random.key(0)),
        learn=("weights",),
    )


# ---- layers


def net_and_state():
    net = js.nn.Sequential(nnx.Linear(8, 5, rngs=nnx.Rngs(0)), js.LIF())
    return net, net.init_state((4, 8))


def test_state_missing_or_of_another_network():
    net, state = net_and_state()
    raises(
        TypeError,
        "`Sequential(state=...)` must be a state, got None. "
        "Build it with `net.init_state(shape)`, the shape of one step `[N, *]`.",
        net,
        None,
        X,
    )
    longer = js.nn.Sequential(*net.layers, js.LI())
    raises(
        ValueError,
        "The state must have an entry 2, got ((), LIFState(v=(4, 5))). "
        "Build it with `net.init_state(shape)`, from a `__call__` that returns that entry.",
        longer,
        state,
        X,
    )
    raises(
        ValueError,
        "`Sequential` must return a state of the structure and shapes that it was given, ((), "
        "LIFState(v=(4, 5)), LIState(v=(4, 5))), got ((), LIFState(v=(4, 5))). Build it with "
        "`net.init_state(shape)`, the shape of one step `[N, *]`.",
        net,
        longer.init_state((4, 8)),
        X,
    )


class Feedback(js.nn.SpikingModule):
    def __init__(self, unpack=False):
        self.lif, self.unpack = js.LIF(), unpack

    def __call__(self, state, x):
        if self.unpack:
            (lif,) = state
            lif, y = self.lif(lif, x)
            return (lif,), y
        lif, y = self.lif(state["lif"], x + state["lif"].v)
        return {"lif": lif}, y


SEALED = (
    "A SpikingModule without an `init_state` of its own may only pass its state on to its layers. "
    "To read a membrane use `jaxspike.debug.record`, or scan a step that returns it; "
    "to compute with the state, define `init_state(self, shape, dtype)`."
)


def test_a_composite_may_not_compute_with_its_state():
    # on a sequence it would add the first state at every time step
    raises(TypeError, SEALED, Feedback().init_state, (4, 8))
    raises(TypeError, SEALED, Feedback(), {"lif": STATE}, X)
    raises(TypeError, SEALED, Feedback(), {"lif": STATE}, X[0])


class InPlace(js.nn.SpikingModule):
    def __init__(self):
        self.lif = js.LIF()

    def __call__(self, state, x):
        state["lif"], y = self.lif(state["lif"], x)
        return state, y


def test_a_composite_may_not_write_into_its_state():
    raises(
        TypeError,
        "The state must not be changed, got `state['lif'] = ...`. Build a new dict or tuple of "
        "what the layers return, with the same entries.",
        InPlace().init_state,
        (4, 8),
    )


def test_residual_and_parallel():
    for argument, fix, f in [
        ("branch", "Give a layer, such as a `Sequential`.", lambda: js.nn.Residual(3)),
        ("shortcut", "Give a layer, or None.", lambda: js.nn.Residual(js.LIF(), 3)),
        ("combine", "Give `operator.add`.", lambda: js.nn.Residual(js.LIF(), combine=3)),
    ]:
        raises(TypeError, f"`Residual({argument}=...)` must be a function, got 3. {fix}", f)
    raises(
        TypeError,
        "`Parallel(combine=...)` must be a function, got 3. Give a function of the outputs.",
        lambda: js.nn.Parallel(js.LIF(), combine=3),
    )
    raises(
        TypeError,
        "`Parallel(layers=...)` must be layers, got a list. "
        "Give them one by one: `Parallel(nnx.Linear(...), LIF(), ...)`.",
        lambda: js.nn.Parallel([js.LIF()]),
    )
    raises(
        TypeError,
        "`Residual.branch` must keep time steps apart, got nnx.GroupNorm, which normalizes over "
        "time. Give `jaxspike.nn.fold_time(nnx.GroupNorm(...))`.",
        lambda: js.nn.Residual(nnx.GroupNorm(4, num_groups=2, rngs=nnx.Rngs(0))),
    )


class Broken(js.nn.SpikingModule):
    """Composites that go wrong, one way each."""

    def __init__(self, how):
        self.a, self.b, self.how = js.LIF(), js.IF(v_reset=-1.0), how

    def __call__(self, state, x):
        a, y = self.a(state["a"], x)
        if self.how == "twice":
            a, y = self.a(a, y)
        if self.how == "read":
            return {"a": a}, y + a.v
        if self.how == "output":
            return {"a": a}, (y, a.v)
        b, z = self.b(state["a" if self.how == "shared" else "b"], y)
        if self.how == "not returned":
            return {"a": a}, z
        if self.how == "swapped":
            return {"a": b, "b": a}, z
        if self.how == "unused":
            return {"a": a, "b": b, "c": state["c"]}, z
        if self.how == "front":
            return {"a": a, "b": b}, z.mean(1)
        if self.how == "no pair":
            return {"a": a, "b": b}
        if self.how == "other way round":
            return z, {"a": a, "b": b}
        return {"a": a, "b": b}, z


OWN = "Return the state of every layer under the entry that it is read from."


@pytest.mark.parametrize(
    ("how", "kind", "sentence"),
    [
        (
            "twice",
            TypeError,
            "`Spiking(state=...)` must be an entry of the state, got what a layer has just "
            "returned. A layer can run once per step; use a second layer for a second run.",
        ),
        ("read", TypeError, SEALED),
        ("output", TypeError, SEALED),
        (
            "shared",
            ValueError,
            "The layer `b` must be given its own entry of the state, "
            f"got the state of `a` (entry 0). {OWN}",
        ),
        (
            "swapped",
            ValueError,
            "The layer `a` must be given its own entry of the state, "
            f"got the state of `b` (entry 0). {OWN}",
        ),
        (
            "not returned",
            ValueError,
            "The state must have an entry 'b', got {'a': the state of `a` (entry 0)}. "
            "Build it with `net.init_state(shape)`, from a `__call__` that returns that entry.",
        ),
        (
            "unused",
            TypeError,
            "`Broken.__call__` must return the states that its layers return, got an entry "
            "that no layer used among them. A module with a state of its own must define "
            "`init_state(shape, dtype)`.",
        ),
        (
            "front",
            ValueError,
            "`Broken.__call__` must return (3, 4) in a sequence of T = 3 steps, got (3, 8). "
            "Count axes from the end: `[T, N, *]` has one more.",
        ),
        (
            "no pair",
            TypeError,
            "`Broken.__call__` must return `(state, y)`, got a dict.",
        ),
        (
            "other way round",
            TypeError,
            SEALED,
        ),
    ],
)
def test_a_composite_that_goes_wrong_is_refused_by_init_state(how, kind, sentence):
    raises(kind, sentence, Broken(how).init_state, (4, 8))


class Transposed(js.nn.SpikingModule):
    def __init__(self):
        self.lif = js.LIF()

    def __call__(self, state, x):
        lif, y = self.lif(state["lif"], x.reshape(x.shape[0], -1))
        return {"lif": lif}, y


class OnTheFly(js.nn.SpikingModule):
    def __call__(self, state, x):
        lif, y = js.nn.Spiking(js.LIF())(state["lif"], x)
        return {"lif": lif}, y


def test_the_entries_of_a_shared_layer_may_not_be_swapped():
    class Shared(js.nn.SpikingModule):
        def __init__(self):
            self.a = self.b = js.nn.Spiking(js.LIF())

        def __call__(self, state, x):
            a, y = self.a(state["a"], x)
            b, y = self.b(state["b"], y)
            return {"a": b, "b": a}, y

    with pytest.raises(ValueError, match="must return a state of the structure and shapes"):
        Shared().init_state((4, 8))


def test_a_layer_must_see_the_sequence_of_what_it_sees_in_a_step():
    raises(
        ValueError,
        "The layer `lif` must get (3, 4, 16) in a sequence of T = 3 steps, got (3, 64). "
        "Count axes from the end: `[T, N, *]` has one more.",
        Transposed().init_state,
        (4, 2, 8),
    )
    raises(
        TypeError,
        "`Spiking` must be a layer of the network, got one that is made in its `__call__`. "
        "Make it in `__init__` and keep it as an attribute.",
        OnTheFly().init_state,
        (4, 8),
    )


class Forgetful(js.nn.SpikingModule):
    def init_state(self, shape, dtype=jnp.float32):
        return jnp.zeros(shape[-1:], dtype)

    def __call__(self, state, x):
        return state, x - state


def test_a_state_must_tell_a_step_from_a_sequence():
    raises(
        ValueError,
        "`Forgetful.init_state(shape)` must tell a step from a sequence, got the same state for "
        "(4, 8) and (8,). Put `jaxspike.nn.EmptyState(len(shape))` into the state.",
        Forgetful(),
        jnp.zeros(8),
        X[0],
    )


def test_norms_that_would_mix_time_steps_anywhere_in_a_network():
    class Residual(js.nn.SpikingModule):
        def __init__(self):
            self.norm = nnx.InstanceNorm(8, rngs=nnx.Rngs(0))
            self.lif = js.LIF()

        def __call__(self, state, x):
            lif, y = self.lif(state["lif"], self.norm(x))
            return {"lif": lif}, y

    raises(
        TypeError,
        "`Residual.norm` must keep time steps apart, got nnx.InstanceNorm, which normalizes "
        "over time. Give `jaxspike.nn.fold_time(nnx.InstanceNorm(...))`.",
        Residual().init_state,
        (4, 6, 8),
    )


def test_calls_that_forget_the_state():
    net = js.nn.Sequential(js.LIF())
    raises(
        TypeError,
        "`Sequential(state, x)` must get a state and an input, got one argument. "
        "State comes first: `state, y = net(net.init_state(x.shape), x)` for one step x.",
        net,
        X[0],
    )
    for given in (net.init_state(X[0].shape), {"lif": LIF.init_state(X[0].shape)}):
        raises(
            TypeError,
            "`Sequential(state, x)` must get the state first, got an array. "
            "State comes first: `state, y = net(net.init_state(x.shape), x)` for one step x.",
            net,
            X[0],
            given,
        )
    got = "must be an array, got a LIFState. State comes first."
    raises(TypeError, f"`LIF(x=...)` {got}", LIF, X[0], LIF.init_state(X[0].shape))
    for shape in (8, X):
        with pytest.raises(TypeError, match=r"`init_state\(x.shape\)`"):
            net.init_state(shape)
        with pytest.raises(TypeError, match=r"`init_state\(x.shape\)`"):
            LIF.init_state(shape)


def test_classes_in_place_of_instances():
    class Net(js.nn.SpikingModule):
        def __init__(self):
            self.lif = js.LIF

    raises(
        TypeError,
        "`Net.lif` must be a layer, got the class LIF. Give `LIF(...)`.",
        Net,
    )


def test_lists_in_place_of_arrays():
    for f in (LIF, js.nn.Spiking(LIF)):
        raises(
            TypeError,
            f"`{type(f).__name__}(x=...)` must be an array, got a list. "
            "Stack it: `jnp.stack(x)`, time first.",
            f,
            STATE,
            list(X),
        )
    square = jnp.ones((4, 4, 8))  # else each item is taken for one of four inputs
    with pytest.raises(TypeError, match="Stack it"):
        js.scan(LIF, STATE, list(square))


def test_the_state_of_another_layer():
    raises(
        TypeError,
        "`Spiking(state=...)` must be a state of this layer, "
        "PyTreeDef(CustomNode(namedtuple[LIFState], [*])), "
        "got PyTreeDef(CustomNode(namedtuple[IFState], [*])). "
        "Build it with `net.init_state(shape)`, the shape of one step `[N, *]`.",
        js.nn.Sequential(js.LIF()),
        (js.IF().init_state((4, 8)),),
        X,
    )
    raises(
        TypeError,
        "`LIF(state=...)` must be floating point, got int32. "
        "Build it with `neuron.init_state((4, 8))`.",
        LIF,
        js.neurons.LIFState(jnp.zeros((4, 8), jnp.int32)),
        X[0],
    )


def test_a_reset_that_does_not_broadcast():
    raises(
        ValueError,
        "`init_state(shape=...)` must be a shape that `v_reset` of shape (3,) broadcasts into, "
        "got (4, 8). Give one value, or one per channel.",
        js.LIF(v_reset=jnp.zeros(3)).init_state,
        (4, 8),
    )


def test_a_composite_may_not_unpack_its_state():
    raises(
        TypeError,
        "`init_state` traces `__call__` before there is a state, so the state cannot be unpacked. "
        "Index it, as in `state['lif1']` or `state[0]`, or define `init_state`.",
        Feedback(unpack=True).init_state,
        (4, 8),
    )


class Homemade(js.nn.SpikingModule):
    def __call__(self, state, x):
        return {"count": jnp.zeros(3)}, x


def test_a_composite_may_not_make_up_a_state():
    raises(
        TypeError,
        "`Homemade.__call__` must return the states that its layers return, got an array among "
        "them. A module with a state of its own must define `init_state(shape, dtype)`.",
        Homemade().init_state,
        (4, 8),
    )


def test_spiking():
    raises(
        ValueError,
        "`Spiking(learn=...)` must name parameters of `LIF`, got 'taus'. "
        "Use some of: tau, v_threshold, v_reset.",
        js.nn.Spiking,
        LIF,
        learn=("taus",),
    )
    raises(
        ValueError,
        "`Spiking(learn=...)` must name parameters of `IF`, got 'v_reset'. "
        "Use some of: v_threshold.",
        js.nn.Spiking,
        js.IF(v_reset=None),
        learn=("v_reset",),
    )
    raises(
        ValueError,
        "`Spiking(learn=('tau',))` must start inside the range, got tau=inf.",
        js.nn.Spiking,
        js.LIF(tau=float("inf")),
        learn=("tau",),
    )
    raises(
        ValueError,
        # float32 knows no number between 1 and that
        "`Spiking(learn=('tau',))` must start inside the range, got tau=1.000000001.",
        js.nn.Spiking,
        js.LIF(tau=1 + 1e-9),
        learn=("tau",),
    )
    raises(
        TypeError,
        "`Spiking(learn=...)` must be names such as ('tau',), got True.",
        js.nn.Spiking,
        js.LIF(),
        learn=True,
    )
    layer = js.nn.Spiking(js.LIF(), learn=("tau",))
    raises(
        AttributeError,
        "`Spiking.tau` cannot be set: the neuron is immutable. Set the Param of a learned field, "
        "`layer.tau_raw[...] = value`, or make a new layer of `layer.neuron.replace(tau=value)`.",
        setattr,
        layer,
        "tau",
        3.0,
    )
    raises(
        AttributeError,
        "`Spiking.v_reset` is not an attribute of the layer. Read `layer.neuron.v_reset`.",
        getattr,
        layer,
        "v_reset",
    )
    raises(
        ValueError,
        "`Spiking(learn=('v_decay',))` must start inside the range, got v_decay=1.0.",
        js.nn.Spiking,
        js.CubaLIF(v_decay=1.0),
        learn=("v_decay",),
    )
    raises(
        ValueError,
        "`Spiking(learn=...)` must name parameters of `Refractory`, got 'tau'. "
        "Use some of: neuron_tau, neuron_v_threshold, neuron_v_reset.",
        js.nn.Spiking,
        js.Refractory(js.LIF()),
        learn=("tau",),
    )
    raises(
        TypeError,
        "`Spiking(neuron=...)` must be a neuron, got <class 'jaxspike.neurons.lif.LIF'>. "
        "Give an instance, such as `jaxspike.LIF()`.",
        js.nn.Spiking,
        js.LIF,
    )


def test_sequential():
    raises(
        TypeError,
        "`Sequential.0` must keep time steps apart, got nnx.GroupNorm, which normalizes over "
        "time. Give `jaxspike.nn.fold_time(nnx.GroupNorm(...))`.",
        js.nn.Sequential,
        nnx.GroupNorm(8, num_groups=2, rngs=nnx.Rngs(0)),
    )
    for bad, got in (
        (3, "3"),
        (js.LIF, "the class LIF"),
        (nnx.Linear, "the class Linear"),
        ([js.LIF(), js.IF()], "a list"),
    ):
        raises(
            TypeError,
            f"`Sequential(layers=...)` must be layers, got {got}. "
            "Give them one by one: `Sequential(nnx.Linear(...), LIF(), ...)`.",
            js.nn.Sequential,
            bad,
        )


def test_recurrent():
    raises(
        TypeError,
        "`Recurrent(neuron=...)` must be a neuron, got 3. Give `jaxspike.LIF()`.",
        js.nn.Recurrent,
        3,
        abs,
    )
    raises(
        TypeError,
        "`Recurrent(feedback=...)` must be a layer that runs step by step, got 3. "
        "Give an nnx.Linear, a neuron or a function of y.",
        js.nn.Recurrent,
        js.LIF(),
        3,
    )
    layer = js.nn.Recurrent(js.LIF(), nnx.Linear(8, 5, rngs=nnx.Rngs(0)))
    raises(
        ValueError,
        "`Recurrent(feedback=...)(y)` must be [4, 8], got the shape (4, 5). Give a layer with "
        "8 outputs.",
        layer,
        layer.init_state((4, 8)),
        X,
    )


def test_dropout():
    raises(
        TypeError,
        "`Dropout(rngs=...)` must be an nnx.Rngs, got None. Give `rngs=nnx.Rngs(0)`.",
        js.nn.Dropout,
        0.5,
    )
    raises(
        ValueError,
        "`Dropout(rate=...)` must be at least 0 and less than 1, got 1.0.",
        js.nn.Dropout,
        1,
        rngs=nnx.Rngs(0),
    )
    layer = js.nn.Dropout(0.5, rngs=nnx.Rngs(0))
    sentence = (
        "`Dropout` in training mode must get a whole sequence `[T, N, *]`, got one step of "
        "shape (4, 8). Call `net(state, x_seq)`, or freeze it with `net.eval()`."
    )
    raises(ValueError, sentence, layer, layer.init_state((4, 8)), X[0])
    raises(ValueError, sentence, js.scan, layer, layer.init_state((4, 8)), X)


def test_layers_without_state():
    raises(
        ValueError,
        "`Flatten(axes=...)` must be at least 2, got 1.",
        js.nn.Flatten,
        1,
    )
    raises(
        ValueError,
        "`Flatten(axes=3)(x=...)` must be [..., *, *, *], got the shape (4, 8). Give the "
        "number of axes that one sample has.",
        js.nn.Flatten(),
        X[0],
    )
    for pool in (js.nn.MaxPool, js.nn.AvgPool):
        raises(
            ValueError,
            f"`{pool.__name__}(window=(2, 2))(x=...)` must be [..., *, *, C], got the shape "
            "(4, 8). Pool before `Flatten`, and give one entry for each spatial axis.",
            pool((2, 2)),
            X[0],
        )
    raises(
        ValueError,
        "`MaxPool(window=...)` must be positive integers, got 2. "
        "Give one per spatial axis, as in (2, 2).",
        js.nn.MaxPool,
        2,
    )
    raises(
        ValueError,
        '`MaxPool(padding=...)` must be "VALID", "SAME" or a pair (before, after) for each spatial '
        "axis, got 1. Give ((1, 1), (1, 1)) for images.",
        js.nn.MaxPool,
        (2, 2),
        None,
        1,
    )
    raises(
        ValueError,
        "`AvgPool(strides=...)` must be one per axis of window (2, 2), got (2,).",
        js.nn.AvgPool,
        (2, 2),
        (2,),
    )
    raises(
        TypeError,
        "`fold_time(layer=...)` must be a stateless layer or function, got LI(). "
        "Use it as it is: it knows about time.",
        js.nn.fold_time,
        js.LI(),
    )


@pytest.mark.parametrize(
    ("module", "name", "hint"),
    [
        (js, "LIFNode", "Here it is `jaxspike.LIF()`."),
        (js, "Leaky", "Here it is `jaxspike.presets.snntorch.leaky(beta)`."),
        (js, "Sequential", "It is `jaxspike.nn.Sequential`."),
        (js, "LIFState", "It is `jaxspike.neurons.LIFState`."),
        (js, "Linear", "It is `flax.nnx.Linear`."),
        (js.nn, "Linear", "It is `flax.nnx.Linear`."),
        (js.nn, "Conv2d", "Here it is `flax.nnx.Conv`."),
        (js.nn, "LIF", "It is `jaxspike.neurons.LIF`."),
        (js, "positive", "It is `jaxspike.field.positive`."),
    ],
)
def test_names_of_other_libraries(module, name, hint):
    text = f"module {module.__name__!r} has no attribute {name!r}. {hint}"
    raises(AttributeError, text, getattr, module, name)


def test_unknown_names_are_plain_errors():
    raises(AttributeError, "module 'jaxspike' has no attribute 'Xyz'", getattr, js, "Xyz")
    assert not hasattr(js.nn, "__wrapped__") and not hasattr(js, "_private")


@pytest.mark.parametrize("call", _elsewhere.NAMES.values())
def test_what_names_of_other_libraries_are_here_exists(call):
    path = call.split("(")[0]
    names = {"jaxspike": js, "flax": flax}
    found = names[path.split(".")[0]]
    for part in path.split(".")[1:]:
        found = getattr(found, part)
    assert callable(found)


def test_a_neuron_in_a_sequential_of_flax():
    net = nnx.Sequential(nnx.Linear(8, 8, rngs=nnx.Rngs(0)), js.LIF())
    raises(
        TypeError,
        "`LIF(state, x)` must get a state and an input, got one argument. In a network it is a "
        "layer of a `jaxspike.nn.Sequential` or `SpikingModule`, which pass it its state; an "
        "`nnx.Sequential` does not.",
        net,
        X[0],
    )


def test_errors_do_not_print_networks():
    net = js.nn.Sequential(nnx.Linear(8, 8, rngs=nnx.Rngs(0)), js.LIF())
    raises(
        TypeError,
        "`fold_time(layer=...)` must be a stateless layer or function, got a Sequential. "
        "Use it as it is: it knows about time.",
        js.nn.fold_time,
        net,
    )
    raises(
        TypeError,
        "`Recurrent(neuron=...)` must be a neuron, got a Linear. Give `jaxspike.LIF()`.",
        js.nn.Recurrent,
        net[0],
        abs,
    )


def test_nothing_to_learn():
    raises(
        ValueError,
        "`Spiking(learn=...)` must name parameters of `PSN`, got 'tau'. It has none to choose.",
        js.nn.Spiking,
        js.PSN.init(4, key=jax.random.key(0)),
        ("tau",),
    )


@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "accuracy"])
def test_labels_that_are_words(loss):
    raises(
        TypeError,
        f"`{loss}(labels=...)` must be numbers, got <U3. "
        "Give classes as integers: `np.unique(labels, return_inverse=True)[1]`.",
        getattr(js.losses, loss),
        jnp.ones((5, 2, 3)),
        np.array(["cat", "dog"]),
    )
