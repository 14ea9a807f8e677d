"""Where JAX has no public name, known by a sample from a public call, or versions differ."""

import functools
from typing import Any

import jax
from jax import lax


@jax.custom_jvp
def barrier(values: Any) -> Any:
    """`jax.lax.optimization_barrier`, whose tangents are not held together.

    JAX 0.12 cannot transpose one that holds tangents and constants, as loops make of zero tangents.
    """
    return lax.optimization_barrier(values)


barrier.defjvp(lambda primals, tangents: (barrier(*primals), *tangents))


def effects(eqn: Any) -> list[Any]:
    """The side effects of an equation; that it names a mapped axis (`lax.psum`) is none."""
    return [e for e in eqn.effects if type(e) is not _named_axis_effect()]


def pins_shardings(eqn: Any) -> bool:
    """Whether a `jax.jit` equation says where its inputs or outputs are."""
    shardings = (*eqn.params["in_shardings"], *eqn.params["out_shardings"])
    return any(type(s) is not _no_sharding() for s in shardings)


@functools.cache
def _named_axis_effect() -> type:
    jaxpr = jax.make_jaxpr(lambda x: lax.psum(x, "_"), axis_env=[("_", 1)])(0.0)
    (effect,) = jaxpr.effects
    return type(effect)


@functools.cache
def _no_sharding() -> type:
    (eqn,) = jax.make_jaxpr(jax.jit(lambda x: x + 1))(0.0).eqns
    return type(eqn.params["in_shardings"][0])
