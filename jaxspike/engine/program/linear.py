"""Which equations are linear, in which inputs, and what scales them."""

from collections.abc import Collection

import jax.numpy as jnp
from jax.extend.core import JaxprEqn

from .jaxpr import type_of

# linear in all inputs together
_LINEAR = frozenset(
    """
    add add_any sub neg convert_element_type copy reshape transpose squeeze broadcast_in_dim slice
    rev pad concatenate stack unstack split tile reduce_sum reduce_window_sum cumsum name
    optimization_barrier
    """.split()  # noqa: SIM905 (one word per line is hard to read)
)
_BILINEAR = frozenset({"mul", "dot_general", "conv_general_dilated"})
# linear in some inputs, given those at these positions
_GIVEN = {
    "div": (1,),
    "select_n": (0,),
    "gather": (1,),
    "dynamic_slice": range(1, 99),
    "dynamic_update_slice": range(2, 99),
    "scatter": (1,),
    "scatter-add": (1,),
    "scatter-sub": (1,),
    "scatter-mul": (1, 2),
}


def scales(eqn: JaxprEqn, positions: Collection[int]) -> list[int] | None:
    """The factors by which an equation that is linear in some inputs scales them.

    Args:
        eqn: The equation.
        positions: The positions of those inputs.

    Returns:
        The positions of the inputs on which the linear map depends (the other factor of a product,
        a divisor, a predicate, indices), or None if the equation is not linear in ``positions``.
    """
    name, others = eqn.primitive.name, [i for i in range(len(eqn.invars)) if i not in positions]
    if name == "convert_element_type" and _truncates(eqn):
        return None
    if name in _LINEAR:
        return []
    if name in _BILINEAR:
        return others if len(others) == 1 else None
    if name in _GIVEN:
        given = [i for i in _GIVEN[name] if i < len(eqn.invars)]
        return given if not any(i in positions for i in given) else None
    return None


def _truncates(eqn: JaxprEqn) -> bool:
    """Whether a conversion leaves whole numbers or truth values of any others."""
    before, after = (
        jnp.issubdtype(type_of(v).dtype, jnp.inexact) for v in (*eqn.invars, *eqn.outvars)
    )
    return before and not after


def has_gradient(eqn: JaxprEqn) -> bool:
    """Whether a derivative can be other than zero, by the name of the operation alone."""
    return eqn.primitive.name not in ("stop_gradient", "sign", "floor", "ceil", "round")
