"""Steps that treat all neurons of a layer alike and independently, so they can run in tiles."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Jaxpr, JaxprEqn, Var

from ..._types import Array, Shape
from .jaxpr import Atom, is_var, type_of, value
from .step import Step

# primitives whose output at a position reads their inputs at that position only, for any shape
ELEMENTWISE = frozenset(
    """
    add add_any sub mul div rem max min neg abs sign exp exp2 log log1p expm1 tanh sin cos logistic
    sqrt rsqrt cbrt integer_pow pow square erf erfc erf_inv floor ceil round nextafter is_finite
    ge gt le lt eq ne and or not xor select_n clamp convert_element_type copy stop_gradient
    """.split()  # noqa: SIM905 (one word per line is hard to read)
)
# those that cost as much as many additions
COSTLY = frozenset(
    """
    exp exp2 log log1p expm1 tanh sin cos logistic cbrt pow erf erfc erf_inv
    """.split()  # noqa: SIM905
)


def body_of(eqn: JaxprEqn) -> Jaxpr | None:
    """The jaxpr inside a call or a custom derivative, or None."""
    name = "jaxpr" if eqn.primitive.name == "jit" else "call_jaxpr"
    found = eqn.params.get(name)
    return found if found is None else getattr(found, "jaxpr", found)


def inlined(eqns: Iterable[JaxprEqn]) -> Iterator[JaxprEqn]:
    """The equations, with calls and custom derivatives replaced by the equations inside."""
    for e in eqns:
        body = body_of(e)
        yield from [e] if body is None else inlined(body.eqns)


def is_elementwise(eqn: JaxprEqn) -> bool:
    """Whether an equation is elementwise, broadcasts a scalar, or contains only such equations."""
    if eqn.effects:
        return False
    body = body_of(eqn)
    if body is not None:
        return not body.constvars and all(map(is_elementwise, body.eqns))
    return broadcasts_scalar(eqn) or eqn.primitive.name in ELEMENTWISE


def broadcasts_scalar(eqn: JaxprEqn) -> bool:
    """Whether an equation broadcasts a scalar to an array."""
    return eqn.primitive.name == "broadcast_in_dim" and type_of(eqn.invars[0]).shape == ()


def layer_shape(step: Step) -> Shape | None:
    """The shape of one neuron layer if ``step`` is elementwise over it, else None."""
    shapes = {type_of(v).shape for v in step.state}
    if len(shapes) != 1:
        return None
    (shape,) = shapes
    if not all(isinstance(n, int) for n in shape) or math.prod(shape) < 2:
        return None  # `jax.export` may leave the size of an axis open
    outputs = [*step.new_state, *step.ys]
    if any(not is_var(v) or type_of(v).shape != shape for v in [*step.xs, *outputs]):
        return None
    if not all(_broadcasts(type_of(v).shape, shape) for v in step.consts):
        return None
    return shape if only_elementwise(step.eqns, step.consts, shape) else None


def _broadcasts(const: Shape, shape: Shape) -> bool:
    """Whether an array broadcasts against ``shape`` in an elementwise operation as it is."""
    if const in ((), shape):
        return True
    return len(const) == len(shape) and all(c in (1, s) for c, s in zip(const, shape, strict=True))


def only_elementwise(eqns: Sequence[JaxprEqn], consts: Sequence[Var], shape: Shape) -> bool:
    """Whether all ``eqns`` are elementwise on scalars and arrays of ``shape``."""
    known = set(consts)
    for e in eqns:
        if not is_elementwise(e):
            return False
        atoms = [*(v for v in e.invars if not (is_var(v) and v in known)), *e.outvars]
        if any(type_of(v).shape not in ((), shape) for v in atoms):
            return False
        body = body_of(e)
        if body is not None and not only_elementwise(body.eqns, [], shape):
            return False
    return True


def evaluate_elementwise(
    invars: Sequence[Var],
    outvars: Sequence[Atom],
    eqns: Sequence[JaxprEqn],
    args: Sequence[Array],
    shape: Shape,
) -> list[Array]:
    """Evaluate elementwise equations on arrays of another ``shape`` than they were traced for.

    Custom derivatives are replaced by the functions they wrap: not for differentiation.
    """
    env = dict(zip(invars, args, strict=True))
    for e in eqns:
        values = [value(env, v) for v in e.invars]
        body = body_of(e)
        if body is not None:
            outs = evaluate_elementwise(body.invars, body.outvars, body.eqns, values, shape)
        elif broadcasts_scalar(e):
            per_neuron = np.ndim(values[0]) > 0  # given as one value per neuron
            outs = [values[0] if per_neuron else lax.broadcast(values[0], shape)]
        else:
            out = e.primitive.bind(*values, **e.params)
            outs = out if e.primitive.multiple_results else [out]
        env.update(zip(e.outvars, outs, strict=True))
    return [value(env, v) for v in outvars]


Diagonal = tuple[list[Array], list[Array]]


def diagonal(f: Callable[..., Array], states: Sequence[Array], shifts: Sequence[Array]) -> Diagonal:
    """The derivatives of an elementwise ``f(states, shifts)`` for each state and shift, per neuron.

    A neuron reads only its own entries, so the vector-Jacobian product with ones is the diagonal.
    """
    target, back = jax.vjp(f, list(states), list(shifts))
    return back(jnp.ones_like(target))
