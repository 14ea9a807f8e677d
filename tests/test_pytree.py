"""The frozen dataclass pytree under the transformations of JAX."""

import copy
import dataclasses
import pickle
from typing import Optional

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxspike as js
from jaxspike.field import from_raw, to_raw


def test_fields_are_frozen_and_replaced_by_new_instances():
    lif = js.LIF()
    with pytest.raises(dataclasses.FrozenInstanceError):
        lif.tau = 3.0
    assert lif.replace(tau=3.0).tau == 3.0
    assert lif.replace(v_reset=None, decay_input=False).v_reset is None
    assert lif.tau == 2.0
    with pytest.raises(ValueError, match="greater than 1"):
        lif.replace(tau=0.5)
    with pytest.raises(TypeError, match=r"`LIF\(taus=...\)` is not a field of `LIF`"):
        lif.replace(taus=3.0)
    assert dataclasses.replace(lif, tau=3.0).tau == 3.0


def test_only_what_is_not_the_default_is_shown():
    shown = {
        "LIF()": js.LIF(),
        "LIF(tau=3.0)": js.LIF(tau=3.0, v_threshold=1.0, surrogate=js.surrogate.Sigmoid(4.0)),
        "LIF(v_reset=None, decay_input=False)": js.LIF(v_reset=None, decay_input=False),
        "LIF(surrogate=ATan())": js.LIF(surrogate=js.surrogate.ATan()),
        "LIF(surrogate=Sigmoid(alpha=2.0))": js.LIF(surrogate=js.surrogate.Sigmoid(2.0)),
        "LIF(tau=f32[8], v_threshold=f32[])": js.LIF(jnp.full(8, 2.0), v_threshold=np.float32(1)),
        "LIAF(activation=tanh)": js.LIAF(jnp.tanh),
        "Refractory(neuron=IF())": js.Refractory(js.IF()),
        "PSN(weight=bf16[4,4], bias=f32[4])": js.PSN(jnp.ones((4, 4), jnp.bfloat16), jnp.ones(4)),
        "DiscreteLIF(fires='>')": js.DiscreteLIF(fires=">"),
    }
    for text, model in shown.items():
        assert repr(model) == text


def test_a_traced_neuron_is_shown():
    texts = []

    def show(lif):
        texts.append(repr(lif))
        return lif.tau

    jax.jit(jax.grad(show))(js.LIF(tau=jnp.float32(3.0)))
    (text,) = texts
    assert (
        text == "LIF(tau=f32[], v_threshold=f32[], v_reset=f32[], surrogate=Sigmoid(alpha=f32[]))"
    )
    assert repr(jax.tree.map(lambda _: None, js.IF())) == (
        "IF(v_threshold=None, v_reset=None, surrogate=Sigmoid(alpha=None))"
    )


def test_numbers_are_leaves_and_switches_are_structure():
    leaves, structure = jax.tree.flatten(js.LIF())
    assert leaves == [2.0, 1.0, 0.0, 4.0]
    assert structure == jax.tree.structure(js.LIF(tau=3.0))
    assert structure != jax.tree.structure(js.LIF(decay_input=False))
    assert structure != jax.tree.structure(js.LIF(v_reset=None))


def test_paths_name_the_fields():
    paths = [jax.tree_util.keystr(p) for p, _ in jax.tree_util.tree_leaves_with_path(js.LIF())]
    assert paths == [".tau", ".v_threshold", ".v_reset", ".surrogate.alpha"]


def test_integers_become_floats_so_that_they_can_be_differentiated():
    assert js.IF(v_threshold=2).v_threshold == 2.0
    assert isinstance(js.IF(v_threshold=2).v_threshold, float)
    assert js.IF(v_threshold=jnp.array([1, 2])).v_threshold.dtype == jnp.float32


def test_rebuilding_checks_nothing():
    jax.tree.map(lambda _: None, js.LIF())
    jax.tree.map(lambda x: -x, js.LIF())
    jax.eval_shape(lambda n: n, js.LIF())


def test_traced_values_pass():
    tau = jax.jit(lambda t: js.LIF(tau=t).tau)(jnp.float32(0.5))
    assert tau == 0.5


def test_equality_and_hash_are_by_identity():
    a, b = js.LIF(), js.LIF()
    assert a != b
    assert len({a, b}) == 2


@pytest.mark.parametrize("again", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies(again):
    lif = js.LIF(tau=jnp.array([2.0, 3.0]), v_reset=None)
    assert jax.tree.all(jax.tree.map(np.array_equal, again(lif), lif))


class Kinds(js.surrogate.Surrogate):
    """A field of every kind."""

    plain: js.Param
    positive: js.Param = js.field.positive()
    negative: js.Param = js.field.negative()
    greater: js.Param = js.field.greater_than(1.0)
    between: js.Param = js.field.between(-1.0, 3.0)

    def __call__(self, x):
        return x


@pytest.mark.parametrize(
    ("name", "values"),
    {
        "plain": (-2.0, 0.0, 2.0),
        "positive": (1e-3, 1.7, 50.0),
        "negative": (-1e-3, -1.7, -50.0),
        "greater": (1.001, 1.7, 50.0),
        "between": (-0.999, 1.7, 2.999),
    }.items(),
)
def test_raw_values_round_trip_and_no_raw_value_leaves_the_range(name, values):
    field = next(f for f in dataclasses.fields(Kinds) if f.name == name)
    others = {"plain": 0.0, "positive": 1.0, "negative": -1.0, "greater": 2.0, "between": 0.0}
    for value in values:
        raw = to_raw(field, jnp.float32(value), others.get)
        np.testing.assert_allclose(from_raw(field, raw, others.get), value, rtol=1e-5)
    for raw in (-3.0, 0.0, 3.0):
        Kinds(**others | {name: from_raw(field, jnp.float32(raw), others.get)})


def test_the_ends_of_a_range_are_constants():
    assert js.CubaLIF(c_decay=0.0, v_decay=1.0).v_decay == 1.0


def test_a_range_without_an_inside_is_refused():
    with pytest.raises(ValueError) as info:
        js.field.between(2.0, 1.0)
    assert str(info.value) == "`between(high=...)` must be greater than 2, got 1.0."


def test_completion_shows_no_private_name():
    shown = [name for name in dir(js.LIF()) if not name.startswith("__")]
    assert {"tau", "step", "init_state", "replace"} <= {*shown}
    assert not [name for name in shown if name.startswith("_")]


def test_annotations_as_text():
    source = (
        "from __future__ import annotations\n"
        "import jaxspike as js\n"
        "class Model(js.IF):\n"
        "    bias: js.Param | None = None\n"
        "    rule: js.surrogate.Surrogate = js.surrogate.ATan()\n"
    )
    space = {"__name__": "text"}
    exec(source, space)
    model = space["Model"](rule=js.surrogate.Erf())
    assert model.bias is None
    assert model.rule.alpha == 2.0


def test_optional_fields_and_either_of_two_kinds():
    class Model(js.IF):
        bias: Optional[float] = None  # noqa: UP045
        rule: js.surrogate.Surrogate | None = js.surrogate.ATan()
        inner: js.LIF | js.IF = js.LIF()

    assert Model(rule=None, inner=js.IF()).bias is None
    with pytest.raises(TypeError) as caught:
        Model(inner=js.LI())
    assert str(caught.value) == (
        "`Model(inner=...)` must be a LIF or IF, got LI(). Give an instance of `LIF or IF`."
    )


def test_a_new_default_in_a_subclass_keeps_the_limits_of_the_field():
    class Model(js.LIF):
        v_threshold: js.Param = 0.5
        decay_input: bool = False

    assert (Model().v_threshold, Model().decay_input) == (0.5, False)
    with pytest.raises(ValueError, match=r"greater than v_reset=0\.0"):
        Model(v_threshold=-1.0)
    with pytest.raises(ValueError, match="must be one of"):
        Model(decay_input=2)


def test_a_default_without_a_type_is_refused():
    with pytest.raises(TypeError) as caught:
        type("Model", (js.LIF,), {"tau": 3.0, "__annotations__": {}})
    assert str(caught.value) == (
        "`Model.tau` must be declared with a type to be a new default, got `tau = 3.0`. "
        "Write `tau: jaxspike.Param = ...`."
    )
