"""Names that JAX does not make public, found by tracing a public call or with a fallback."""

import functools
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
from jax import lax
from jax.extend.core import Effect, JaxprEqn

from ..._types import Tree

try:
    from jax._src import traceback_util
except ImportError:
    traceback_util = None  # type: ignore[assignment]

F = TypeVar("F", bound=Callable[..., Any])


@jax.custom_jvp
def barrier(values: Tree) -> Tree:
    """`jax.lax.optimization_barrier` without a barrier over the tangents.

    JAX 0.12 cannot transpose one over tangents and constants, which loops make of zero tangents.
    """
    return lax.optimization_barrier(values)


barrier.defjvp(lambda primals, tangents: (barrier(*primals), *tangents))


def effects(eqn: JaxprEqn) -> list[Effect]:
    """The side effects of an equation; a mapped axis by name (`lax.psum`) is not one."""
    return [e for e in eqn.effects if type(e) is not _named_axis_effect()]


def pins_shardings(eqn: JaxprEqn) -> bool:
    """Whether a `jax.jit` equation specifies the sharding of its inputs or outputs."""
    shardings = (*eqn.params["in_shardings"], *eqn.params["out_shardings"])
    return any(type(s) is not _no_sharding() for s in shardings)


def varying_axes(kind: object) -> tuple[str, ...]:
    """The mesh axes that values of a type vary over inside `jax.shard_map`."""
    manual = getattr(kind, "manual_axis_type", None)
    return tuple(sorted(manual.varying)) if manual else ()


def scan_arity(eqn: JaxprEqn) -> tuple[int, int]:
    """How many inputs of a `lax.scan` equation are constants, and how many its carry.

    JAX 0.12 has no parameters for them. A sequence has one axis more outside than in the body.
    """
    body = eqn.params["jaxpr"].jaxpr
    sequences = _more_axes(eqn.invars, body.invars)
    carry = len(eqn.outvars) - _more_axes(eqn.outvars, body.outvars)
    return len(eqn.invars) - carry - sequences, carry


def _more_axes(outer: Sequence[Any], inner: Sequence[Any]) -> int:
    return sum(a.aval.ndim > b.aval.ndim for a, b in zip(outer, inner, strict=True))


@functools.cache
def _named_axis_effect() -> type:
    jaxpr = jax.make_jaxpr(lambda x: lax.psum(x, "_"), axis_env=[("_", 1)])(0.0)
    (effect,) = jaxpr.effects
    return type(effect)


@functools.cache
def _no_sharding() -> type:
    (eqn,) = jax.make_jaxpr(jax.jit(lambda x: x + 1))(0.0).eqns
    return type(eqn.params["in_shardings"][0])


def trace_context_error() -> type[Exception] | tuple[()]:
    """Flax's error for a trace that changes its variables; () if Flax has not been imported."""
    return getattr(sys.modules.get("flax.errors"), "TraceContextError", ())


def hide_frames(*paths: str) -> None:
    """Leave these files and folders of the package out of the tracebacks that JAX filters."""
    package = pathlib.Path(__file__).parents[2]
    if hasattr(traceback_util, "register_exclusion"):
        for path in paths:
            traceback_util.register_exclusion(str(package / path))


def api_boundary(f: F) -> F:
    """``f``, below which JAX filters the traceback of an error; `jax.jit` and others do so too."""
    boundary: Callable[[F], F] = getattr(traceback_util, "api_boundary", lambda f: f)
    return boundary(f)
