"""Cycles that treat every neuron alike and apart: they may run on a tile of neurons at a time."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax

from .trace import Step, is_var

# primitives whose output at a place needs their inputs at that place only, whatever the shape
ELEMENTWISE = frozenset(
    """
    add add_any sub mul div rem max min neg abs sign exp exp2 log log1p expm1 tanh sin cos logistic
    sqrt rsqrt cbrt integer_pow pow square erf erfc erf_inv floor ceil round nextafter is_finite
    ge gt le lt eq ne and or not xor select_n clamp convert_element_type copy stop_gradient
    """.split()  # noqa: SIM905 (one word per line is hard to read)
)
# those that are worth many additions
COSTLY = frozenset(
    """
    exp exp2 log log1p expm1 tanh sin cos logistic cbrt pow erf erfc erf_inv
    """.split()  # noqa: SIM905
)


def inner(eqn: Any) -> Any:
    """The jaxpr inside a call or a custom derivative, or None."""
    name = "jaxpr" if eqn.primitive.name == "jit" else "call_jaxpr"
    found = eqn.params.get(name)
    return found if found is None else getattr(found, "jaxpr", found)


def inlined(eqns: Iterable[Any]) -> Iterator[Any]:
    """Equations, and in place of a call or a custom derivative those inside."""
    for e in eqns:
        body = inner(e)
        yield from [e] if body is None else inlined(body.eqns)


def is_elementwise(eqn: Any) -> bool:
    """Whether an equation is elementwise, or a number spread over a shape, or made of such ones."""
    if eqn.effects:
        return False
    body = inner(eqn)
    if body is not None:
        return not body.constvars and all(map(is_elementwise, body.eqns))
    return spreads_number(eqn) or eqn.primitive.name in ELEMENTWISE


def spreads_number(eqn: Any) -> bool:
    """Whether an equation makes an array of a number."""
    return eqn.primitive.name == "broadcast_in_dim" and eqn.invars[0].aval.shape == ()


def shape_of(step: Step) -> tuple[int, ...] | None:
    """The shape of one neuron layer if ``step`` is elementwise over it, else None."""
    shapes = {v.aval.shape for v in step.state}
    if len(shapes) != 1:
        return None
    (shape,) = shapes
    if not all(isinstance(n, int) for n in shape) or math.prod(shape) < 2:
        return None  # `jax.export` may leave the size of an axis open
    outputs = [*step.new_state, *step.ys]
    if any(not is_var(v) or v.aval.shape != shape for v in [*step.xs, *outputs]):
        return None
    if not all(_spreads(v.aval.shape, shape) for v in step.consts):
        return None
    return shape if only_elementwise(step.eqns, step.consts, shape) else None


def _spreads(const: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether an array can meet ``shape`` in an elementwise operation as it is."""
    if const in ((), shape):
        return True
    return len(const) == len(shape) and all(c in (1, s) for c, s in zip(const, shape, strict=True))


def only_elementwise(eqns: list[Any], consts: list[Any], shape: tuple[int, ...]) -> bool:
    """Whether all ``eqns`` are elementwise on numbers and arrays of ``shape``."""
    known = set(consts)
    for e in eqns:
        if not is_elementwise(e):
            return False
        atoms = [*(v for v in e.invars if not (is_var(v) and v in known)), *e.outvars]
        if any(v.aval.shape not in ((), shape) for v in atoms):
            return False
        body = inner(e)
        if body is not None and not only_elementwise(body.eqns, [], shape):
            return False
    return True


def evaluate(invars, outvars, eqns, args: Sequence[Any], shape: tuple[int, ...]) -> list[Any]:
    """Run elementwise equations on arrays of another ``shape`` than they were traced for.

    Custom derivatives are replaced by what they compute: not to be differentiated.
    """
    env = dict(zip(invars, args, strict=True))

    def read(v):
        return env[v] if is_var(v) else v.val

    for e in eqns:
        values = [read(v) for v in e.invars]
        body = inner(e)
        if body is not None:
            outs = evaluate(body.invars, body.outvars, body.eqns, values, shape)
        elif spreads_number(e):
            there = jnp.ndim(values[0]) > 0  # given as one value per neuron
            outs = [values[0] if there else lax.broadcast(values[0], shape)]
        else:
            out = e.primitive.bind(*values, **e.params)
            outs = out if e.primitive.multiple_results else [out]
        env.update(zip(e.outvars, outs, strict=True))
    return [read(v) for v in outvars]
