"""Equations that cannot be replaced by a `vmap` over time."""

import jax
import jax.numpy as jnp
from jax.extend.core import Jaxpr, JaxprEqn, Var

from .jaxpr import jaxprs_in, type_of


def must_run_in_sequence(eqn: JaxprEqn, time_varying: set[Var]) -> bool:
    """Whether an equation must be evaluated step by step although it is on no cycle.

    - Random numbers of a generator other than threefry: `vmap` draws different ones.
    - A `cond` whose predicate changes over time: `vmap` computes every branch at every step, with
      a copy of its weights for each step.
    - A `while_loop`: `vmap` runs it for every step until the last one is done.
    - A `jax.pure_callback` that `vmap` refuses, because it has no ``vmap_method``.

    Args:
        eqn: The equation.
        time_varying: The variables that change over time.
    """
    if eqn.primitive.name == "cond" and eqn.invars[0] not in time_varying:
        return any(map(_has_sequential, jaxprs_in(eqn)))
    return _is_sequential(eqn)


def _is_sequential(eqn: JaxprEqn) -> bool:
    name = eqn.primitive.name
    if name in ("cond", "while", "rng_bit_generator"):
        return True
    if name == "pure_callback":
        return eqn.params["vmap_method"] is None
    if name.startswith("random_"):
        dtypes = [type_of(v).dtype for v in [*eqn.invars, *eqn.outvars]]
        keys = {str(d) for d in dtypes if jnp.issubdtype(d, jax.dtypes.prng_key)}
        return keys != {"key<fry>"}
    return any(map(_has_sequential, jaxprs_in(eqn)))


def _has_sequential(jaxpr: Jaxpr) -> bool:
    return any(map(_is_sequential, jaxpr.eqns))
