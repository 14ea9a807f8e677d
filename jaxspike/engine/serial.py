"""Equations that `vmap` over time cannot stand in for."""

from typing import Any

import jax
import jax.numpy as jnp


def is_serial(eqn: Any, timed: set[Any]) -> bool:
    """Whether an equation must be evaluated step by step although it is on no cycle.

    - Random numbers of a generator other than threefry: `vmap` draws other ones.
    - A `cond` whose branch changes over time: `vmap` computes every branch at every step, with a
      copy of the weights in it for each step.

    Args:
        eqn: The equation.
        timed: The variables that change over time.
    """
    if eqn.primitive.name == "cond" and eqn.invars[0] not in timed:
        return any(_has_serial(j) for j in _jaxprs(eqn))
    return _is_serial(eqn)


def _is_serial(eqn: Any) -> bool:
    name = eqn.primitive.name
    if name in ("cond", "rng_bit_generator"):
        return True
    if name.startswith("random_"):
        dtypes = [v.aval.dtype for v in [*eqn.invars, *eqn.outvars]]
        keys = {str(d) for d in dtypes if jnp.issubdtype(d, jax.dtypes.prng_key)}
        return keys != {"key<fry>"}
    return any(_has_serial(j) for j in _jaxprs(eqn))


def _has_serial(jaxpr: Any) -> bool:
    return any(map(_is_serial, jaxpr.eqns))


def _jaxprs(eqn: Any) -> list[Any]:
    """The jaxprs inside an equation."""
    leaves = jax.tree.leaves(list(eqn.params.values()), is_leaf=lambda p: hasattr(p, "eqns"))
    found = (getattr(p, "jaxpr", p) for p in leaves)
    return [j for j in found if hasattr(j, "eqns")]
