"""Choices that change speed and memory, never results.

The constants are measured by ``benchmarks/engine.py``; ``benchmarks/engine.md`` has the numbers.
On GPUs, TPUs and several devices nothing has been measured: there are no tiles, and segments are
those of jaxlib 0.10.
"""

import dataclasses
import math
from typing import Literal

import jax.numpy as jnp

from . import device
from .program import elementwise
from .program.jaxpr import type_of
from .program.loop import Loop

SEGMENT = 4  # steps unrolled in one turn of a loop: 8 are as fast and compile twice as long
UNROLLED = 8  # a tiled loop of at most this length is fully unrolled: its rows need no buffers
LONGEST = 8  # a longer segment is a loop itself: compile time
TILE, TILED_FROM = 2**13, 2**15  # neurons: a dozen float32 rows fit in the L2 cache of a core
LARGE_TILE, LARGE_TILED_FROM = 2**17, 2**12  # 16 bits, or a loop on all cores: each call has a cost
HALF = jnp.dtype(jnp.bfloat16), jnp.dtype(jnp.float16)  # no vector loads in one function
MANY_LOOPS = 4, 10  # from more on, a loop unrolls 2 steps, or 1: each is compiled in every loop
SMALL, MANY_SMALL_LOOPS = 2**20, (1, 3)  # numbers in T states: more unrolled steps save little
BIG_STEP = 60  # equations: from here on a loop unrolls 1 step, for compile time
# additions in one fused pass, which double with every step, as XLA:CPU recomputes chains of steps
ONE_PASS, ONE_PASS_WITHOUT_BARRIERS = 200, 750
EXPONENTIAL = 15  # additions that take as long as an exponential or a similar function
ROUNDED, CALLED = 8, 40  # and as rounding to 16 bits, by an instruction or by a function call


@dataclasses.dataclass(frozen=True)
class Plan:
    """How one loop over time is cut.

    Attributes:
        segment: Steps unrolled in one turn of the loop; a state is stored at the start of each.
        outer: If given, only states ``outer`` steps apart are stored, and everything between them
            is recomputed in the backward pass.
        tile: Neurons that one turn of a loop around the loop over time works on; None means all.
        barrier: After how many steps XLA is kept from recomputing a chain of steps for each of its
            uses; 0 means never. A pass with a gradient has 0 or 1.
        in_place: Whether cotangents of inputs overwrite those of outputs.
        parallel: Whether to keep XLA:CPU from compiling a loop into a single-core function.
    """

    segment: int
    outer: int | None = None
    tile: int | None = None
    barrier: int = 1
    in_place: bool = False
    parallel: bool = False


@dataclasses.dataclass(frozen=True)
class Policy:
    """The choices of `scan` that have no argument of their own; None leaves them to `scan`.

    They change speed and memory, never results.

    Attributes:
        tile: How many neurons an elementwise loop works on at a time, so that their state stays in
            the cache; 0 means all. A loop is not tiled if it is not elementwise, has segments
            longer than a turn, or is sharded over a mesh of explicit axes. Other layers on several
            devices are gathered on each of them by their tiles.
        barrier: Whether to keep XLA from recomputing a chain of steps for each of its uses.
        fuse: Whether cheap equations are evaluated in the loop that they serve, and loops that only
            meet each other are joined; if not, equations on no cycle are materialized for all
            steps.
        parallel: Whether to keep XLA:CPU from compiling a loop into a single-core function, as it
            does from jaxlib 0.12 on; tiles, unless given, are then large. By default only for types
            of 16 bits that the CPU has an instruction to round to, and for the small loops of
            several layers, which then compile faster. No effect on other devices.

    Raises:
        ValueError: If a value is not one of those above.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> lif = js.LIF()
        >>> policy = js.Policy(tile=16, barrier=True)
        >>> _, spikes = js.scan(lif, lif.init_state((8, 8)), jnp.ones((10, 8, 8)), policy=policy)
        >>> spikes.shape
        (10, 8, 8)
    """

    tile: int | None = None
    barrier: bool | None = None
    fuse: bool | None = None
    parallel: bool | None = None

    def __post_init__(self) -> None:
        tile = self.tile
        if tile is not None and (isinstance(tile, bool) or not isinstance(tile, int) or tile < 0):
            raise ValueError(
                f"`Policy(tile=...)` must be a number of neurons, 0 or None, got {tile!r}. "
                "Give 0 for no tiles."
            )
        for name in ("barrier", "fuse", "parallel"):
            value = getattr(self, name)
            if not isinstance(value, bool | None):
                raise ValueError(
                    f"`Policy({name}=...)` must be True, False or None, got {value!r}."
                )


@dataclasses.dataclass(frozen=True)
class Options:
    """The arguments from which a loop is planned.

    Attributes:
        segment: As in `scan`: a state is stored every ``segment`` steps.
        unroll: As in `scan`: how many steps one turn of the loop does.
        policy: As in `scan`.
        n_loops: How many loops are compiled together.
        all_at_once: Whether recurrences that are affine given their decisions run for all steps at
            once: parallel order.
    """

    segment: int | Literal["sqrt"] | None = None
    unroll: int | None = None
    policy: Policy = Policy()
    n_loops: int = 1
    all_at_once: bool = False

    def segment_of(self, length: int) -> int | None:
        """The number of steps of a segment, at most all."""
        segment = math.isqrt(length - 1) + 1 if self.segment == "sqrt" else self.segment
        return segment and min(segment, length)


def plan(loop: Loop, options: Options) -> Plan:
    """Choose how to cut a loop, for a pass with a gradient."""
    length, policy, segment = loop.length, options.policy, options.segment_of(loop.length)
    slow = _is_slow_on_one_core(loop) or _is_compiled_again(loop, options.n_loops)
    parallel = device.on_cpu() and _or(policy.parallel, slow)
    tile = _tile(loop, policy.parallel) if policy.tile is None else policy.tile or None
    if any(any(type_of(v).sharding.spec) for v in loop.step.state):  # a mesh of explicit axes
        tile = None
    turn = min(options.unroll or segment or _turn(loop, tile, options.n_loops), length)
    fused = not device.on_cpu() or length <= _within(_fused_steps(loop))
    if policy.tile is None and turn == length and fused:
        tile = None  # one pass over all steps
    if segment is None or segment <= min(turn, LONGEST):
        turn = min(segment or turn, length)
        barrier = tile is not None or turn < length or not fused
        return Plan(turn, None, tile, _or(policy.barrier, barrier), _in_place(), parallel)
    if options.unroll is None:
        turn = min(_turn(loop, tile, options.n_loops), SEGMENT)
    outer = segment if segment < length else None
    return Plan(turn, outer, None, _or(policy.barrier, True), _in_place(), parallel)


def plan_inference(loop: Loop, options: Options) -> Plan:
    """Choose how to cut a loop, for a pass without a gradient: more steps can be one pass."""
    length, policy = loop.length, options.policy
    found = plan(loop, dataclasses.replace(options, segment=None))
    given = options.unroll or policy.tile is not None or policy.barrier is not None
    if given or len(loop.step.eqns) >= BIG_STEP:
        return found
    fused = _fused_steps(loop) + 1  # it is half of the work
    if length <= _within(fused):
        return dataclasses.replace(found, segment=length, tile=None, barrier=0)
    if found.segment < length or fused <= SEGMENT:
        return found
    return dataclasses.replace(found, tile=None, barrier=SEGMENT)


def _fused_steps(loop: Loop) -> int:
    """How many unrolled steps may be one fused pass with its gradient.

    XLA:CPU recomputes a chain of steps for each of its uses: another step doubles the work.
    """
    if not device.on_cpu() or loop.contractions:
        return SEGMENT  # contractions between the steps keep the chains short
    most = ONE_PASS if _has_barriers() else ONE_PASS_WITHOUT_BARRIERS
    return int(math.log2(most / _cost(loop)))


def _has_barriers() -> bool:
    """Whether XLA:CPU heeds a barrier between steps."""
    return device.jaxlib_minor() >= (0, 11)


def _within(fused: int) -> int:
    """Two steps are always one pass; more than are unrolled never are."""
    return min(max(fused, 2), SEGMENT)


def _cost(loop: Loop) -> int:
    """The work of a step without contractions, in additions."""
    eqns = loop.operations
    costly = sum(e.primitive.name in elementwise.COSTLY for e in eqns)
    rounded = sum(_rounding(type_of(v).dtype) for e in eqns for v in e.outvars)
    return max(len(eqns) + EXPONENTIAL * costly + rounded, 1)


def _rounding(dtype) -> int:
    """The work of rounding to a type."""
    return 0 if dtype not in HALF else CALLED if _is_rounded_by_calls(dtype) else ROUNDED


def _is_rounded_by_calls(dtype) -> bool:
    """Whether XLA's operations round to a type number by number, and its functions do not.

    On jaxlib 0.11 there are no such functions.
    """
    return (
        dtype == jnp.bfloat16
        and device.jaxlib_minor() >= (0, 12)
        and not device.rounds_to_bfloat16()
    )


def _in_place() -> bool:
    """Whether a loop can overwrite what it reads; jaxlib 0.10 copies the sequence at each turn."""
    return device.on_cpu() and device.jaxlib_minor() >= (0, 11)


def _or(given: bool | None, chosen: bool) -> bool:
    return chosen if given is None else given


def _turn(loop: Loop, tile: int | None, n_loops: int) -> int:
    """How many steps to unroll in one turn of the loop."""
    some, many = MANY_SMALL_LOOPS if _is_small(loop) else MANY_LOOPS
    length = loop.length
    if len(loop.step.eqns) >= BIG_STEP:
        return 1
    if length <= SEGMENT:
        return length if _has_barriers() or length <= _within(_fused_steps(loop)) else 2
    if length <= UNROLLED and tile and n_loops <= many:
        return length
    if loop.contractions:
        return 1
    return SEGMENT if n_loops <= some else 2 if n_loops <= many else 1


def _is_small(loop: Loop) -> bool:
    """Whether its states at all steps are few numbers."""
    return loop.length * loop.size <= SMALL


def _is_compiled_again(loop: Loop, n_loops: int) -> bool:
    """Whether XLA:CPU would compile a function for this loop as for others.

    It compiles equal operations of a program once, but a function for each loop. On one core a
    small loop is as fast either way.
    """
    small = _is_small(loop) and loop.size < TILED_FROM
    return small and n_loops > 1 and device.jaxlib_minor() >= (0, 12) and not loop.contractions


def _is_slow_on_one_core(loop: Loop) -> bool:
    """Whether XLA:CPU would compile a loop into a single-core function without vector loads."""
    return (
        device.on_cpu()
        and device.jaxlib_minor() >= (0, 12)
        and not loop.contractions  # with one it is not a function
        and _has_16_bits(loop)
        and loop.size >= LARGE_TILED_FROM
    )


def _tile(loop: Loop, parallel: bool | None) -> int | None:
    """How many neurons to work on at a time; jaxlib 0.10 copies the sequence for each tile."""
    if loop.shape is None or not device.one_cpu() or device.jaxlib_minor() < (0, 11):
        return None
    large = _or(parallel, _has_16_bits(loop))
    tile, tiled_from = (LARGE_TILE, LARGE_TILED_FROM) if large else (TILE, TILED_FROM)
    return tile if loop.size >= tiled_from else None


def _has_16_bits(loop: Loop) -> bool:
    """Whether it reads or writes a type of 16 bits that XLA's operations round to well."""
    return any(d in HALF and not _is_rounded_by_calls(d) for d in loop.dtypes)
