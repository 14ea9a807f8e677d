"""Choices that change speed and memory, never results.

The numbers are measured by ``benchmarks/engine.py``, and ``benchmarks/engine.md`` says what bounds
them; a row that has not been measured says so.

- CPU, AMD EPYC (Zen 4, 2 virtual cores shared with other work, 1 MiB L2 each, 32 MiB L3), T = 4 to
  500, LIF.
  Float32, jaxlib 0.11 and 0.12: from 32,768 neurons and T = 6 on, tiles of 8,192 are between as
  fast and twice as fast as none, with half of the temporaries. From jaxlib 0.12 on an elementwise
  loop is one function on one core; kept from it, in tiles of 131,072, it takes 0.7 to 1 of the
  time while nothing else runs, but up to twice as long when something does, and twice the
  temporaries; on more than two cores it was not measured.
  Types of 16 bits, where such a function has no vector loads (with AVX-512): kept from it, from
  4,096 neurons on, in tiles of 131,072, it takes 0.3 to 0.7 of the time of one function in tiles of
  8,192 (CubaLIF, ALIF, CLIF, Izhikevich and AdEx too), and 0.2 to 0.6 forward alone. It takes more
  temporaries: for LIF with 262,144 neurons and gradients 1.9 times the input instead of 0.1 at T =
  8, 0.7 instead of 0.3 at T = 16, 0.5 instead of 0.3 at T = 37. jaxlib 0.11 has no such functions;
  the same tiles take 0.7 to 0.8 of the time of those of 8,192.
  Up to T = 4, written out, no tiles are 1.5 to 6 times (T = 2) as fast for LIF: all steps are one
  fused pass, and a tile takes room for one more sequence. Segments of 4 and 8 are equally fast, and
  8 compiles twice as long. Cotangents of inputs in the place of those of outputs save one sequence
  and a fifth of the time (Zen 2, T = 500 and 1000).
  jaxlib 0.10: a tile copies the whole sequence, 4 to 30 times slower than none; segments of 1, 2
  and 4 with barriers are equally fast (T = 16), 8 is 1.5 times slower. Cotangents in place copy
  the whole sequence at every turn, 2 to 20 times slower.
- CPU, AMD EPYC (Zen 3, 2 virtual cores), jaxlib 0.11 and 0.12, 65,536 to 2 million neurons: one
  pass of 4 steps with gradients takes 4 to 7 times as long as tiles for KLIF, CLIF, Izhikevich and
  AdEx, for their chains of steps are computed again for each use; LIF, IF and ALIF are as fast in
  one pass; hence ``ONE_PASS``. Without gradients, T = 5 to 8, passes of 4 steps are between as fast
  as tiles and 1.7 times as fast for LIF, IF, ALIF and CubaLIF, with temporaries of 0.1 to 0.4 of
  the input instead of none, and as fast or slower for others.
  On jaxlib 0.10 barriers change nothing, but fewer chains are long: a pass of 4 steps takes 3 to 5
  times as long as 2 turns for AdEx with a refractory period and 2 times for KLIF, for others 0.3 to
  1.2.
  It has no instruction to round to bfloat16: XLA's operations call a function for each number, but
  one function on one core (jaxlib 0.12) does not, and takes 0.3 to 0.9 of their time (one case
  1.3).
- 20 dense layers, T = 16, jaxlib 0.12, compile time over that of `jax.lax.scan`: 1.7 with segments
  of 1, 4.7 with 2, 9.3 with 4; hence ``MANY_LOOPS``.
- GPU, TPU, several devices: not measured; no tiles, segments as on jaxlib 0.10; in place, on all
  cores for types of 16 bits, and passes by what a step costs, on CPUs only.
"""

import dataclasses
import math
from typing import Literal

import jax.numpy as jnp

from . import device, pointwise, products
from .trace import Step, is_var

SEGMENT = 4  # steps written out in one turn of a loop
WRITTEN_OUT = 8  # up to here a cycle may be written out over its whole length
LONGEST = 8  # a longer segment is a loop itself
TILE, TILED_FROM = 2**13, 2**15  # neurons: a dozen float32 rows fit in the L2 cache of a core
LARGE_TILE, LARGE_TILED_FROM = 2**17, 2**12  # for types of 16 bits, and loops on all cores
HALF = jnp.dtype(jnp.bfloat16), jnp.dtype(jnp.float16)
MANY_LOOPS = 4, 10  # with more, a loop over more than 4 steps writes out 2, or 1: compile time
BIG_STEP = 60  # equations: from here on a loop writes out 1 step
# additions: the work of one fused pass is at most this, with every step doubling it
ONE_PASS, ONE_PASS_WITHOUT_BARRIERS = 200, 750
EXPONENTIAL = 15  # additions that it, or another such function, is worth
ROUNDED, CALLED = 8, 40  # and rounding to 16 bits, by an instruction or a function


@dataclasses.dataclass(frozen=True)
class Plan:
    """How one loop over time is cut.

    Attributes:
        segment: Steps written out in one turn of the loop; a state is kept at the start of each.
        outer: If given, only states ``outer`` steps apart are kept, and everything between is
            computed again in the backward pass.
        tile: Neurons that one turn of a loop around the loop over time works on; None is all.
        barrier: After how many steps XLA is kept from computing a chain of steps again for each of
            its uses; 0 is never. A pass with a gradient knows 0 and 1.
        in_place: Whether cotangents of inputs are written over those of outputs.
        parallel: Whether to keep XLA for CPU from making a loop one function on one core.
    """

    segment: int
    outer: int | None = None
    tile: int | None = None
    barrier: int = 1
    in_place: bool = False
    parallel: bool = False


@dataclasses.dataclass(frozen=True)
class Policy:
    """The choices of `scan` that have no argument of their own; None chooses.

    They change speed and memory, never results.

    Attributes:
        tile: How many neurons an elementwise loop works on at a time, so that their state stays in
            cache; 0 is all. A loop that is not elementwise, or has segments longer than a turn, has
            no tiles, nor has one that is split over a mesh of explicit axes. Those of a layer on
            several devices otherwise gather it on each of them.
        barrier: Whether to keep XLA from computing a chain of steps again for each of its uses.
        ride: Whether cheap equations are evaluated in the loop that they serve, and loops that only
            meet each other are one; if not, what is on no cycle is written out for all steps.
        parallel: Whether to keep XLA for CPU from compiling a loop to one function on one core, as
            it does from jaxlib 0.12 on; its tiles, if it has any and they are not given, are then
            large. None does so for numbers of 16 bits which the CPU has an instruction to round to.
            On other devices it changes nothing.

    Raises:
        ValueError: If a value is not one of those above.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> lif = js.LIF()
        >>> policy = js.engine.Policy(tile=16, barrier=True)
        >>> _, spikes = js.scan(lif, lif.init_state((8, 8)), jnp.ones((10, 8, 8)), policy=policy)
        >>> spikes.shape
        (10, 8, 8)
    """

    tile: int | None = None
    barrier: bool | None = None
    ride: bool | None = None
    parallel: bool | None = None

    def __post_init__(self) -> None:
        tile = self.tile
        if tile is not None and (isinstance(tile, bool) or not isinstance(tile, int) or tile < 0):
            raise ValueError(
                f"`Policy(tile=...)` must be a number of neurons, 0 or None, got {tile!r}. "
                "Give 0 for no tiles."
            )
        for name in ("barrier", "ride", "parallel"):
            value = getattr(self, name)
            if not isinstance(value, bool | None):
                raise ValueError(
                    f"`Policy({name}=...)` must be True, False or None, got {value!r}."
                )


def plan(
    step: Step,
    length: int,
    segment: int | Literal["sqrt"] | None,
    unroll: int | None,
    n_loops: int,
    policy: Policy,
) -> Plan:
    """Choose how to cut one loop, for a pass with a gradient.

    Args:
        step: What the loop does at each step.
        length: The number of steps T.
        segment: As in `scan`: a state is kept every ``segment`` steps. None chooses.
        unroll: As in `scan`: how many steps one turn of the loop does. None chooses.
        n_loops: How many loops there are in all.
        policy: What is not left to choose.
    """
    shape = pointwise.shape_of(step)
    parallel = device.on_cpu() and _or(policy.parallel, _is_slow_on_one_core(step))
    tile = _tile(step, shape, policy.parallel) if policy.tile is None else policy.tile or None
    if any(any(v.aval.sharding.spec) for v in step.state):  # on a mesh of explicit axes
        tile = None
    if segment == "sqrt":
        segment = math.isqrt(length - 1) + 1
    if segment is not None:
        segment = min(segment, length)
    turn = min(unroll or segment or _turn(step, length, shape, tile, n_loops), length)
    fused = not device.on_cpu() or length <= _within(_fused_steps(step))
    if policy.tile is None and turn == length and fused:
        tile = None  # one pass over all steps
    if segment is None or segment <= min(turn, LONGEST):
        turn = min(segment or turn, length)
        barrier = tile is not None or turn < length or not fused
        return Plan(turn, None, tile, _or(policy.barrier, barrier), _in_place(), parallel)
    if unroll is None:
        turn = min(_turn(step, length, shape, tile, n_loops), SEGMENT)
    return Plan(turn, segment, None, _or(policy.barrier, True), _in_place(), parallel)


def inference(step: Step, length: int, unroll: int | None, n_loops: int, policy: Policy) -> Plan:
    """Choose how to cut one loop, for a pass without a gradient: more steps can be one pass.

    Args:
        step: As in `plan`, and so are the others.
        length: The number of steps T.
        unroll: How many steps one turn of the loop does.
        n_loops: How many loops there are in all.
        policy: What is not left to choose.
    """
    cut = plan(step, length, None, unroll, n_loops, policy)
    given = unroll or policy.tile is not None or policy.barrier is not None
    if given or len(step.eqns) >= BIG_STEP:
        return cut
    fused = _fused_steps(step) + 1  # it is half of the work
    if length <= _within(fused):
        return dataclasses.replace(cut, segment=length, tile=None, barrier=0)
    if cut.segment < length or fused <= SEGMENT:
        return cut
    return dataclasses.replace(cut, tile=None, barrier=SEGMENT)


def _fused_steps(step: Step) -> int:
    """How many steps, written out, may be one fused pass with its gradient.

    XLA for CPU computes a chain of steps again for each of its uses: another step doubles the work.
    """
    if not device.on_cpu() or products.find(step):
        return SEGMENT  # products between the steps keep the chains short
    most = ONE_PASS if _has_barriers() else ONE_PASS_WITHOUT_BARRIERS
    return int(math.log2(most / _cost(step)))


def _has_barriers() -> bool:
    """Whether a barrier between steps changes what XLA for CPU makes of them."""
    return device.jaxlib_minor() >= (0, 11)


def _within(fused: int) -> int:
    """Two steps are one pass in any case, more than are written out in none."""
    return min(max(fused, 2), SEGMENT)


def _cost(step: Step) -> int:
    """The work of a step without products, in additions."""
    eqns = list(pointwise.inlined(step.eqns))
    costly = sum(e.primitive.name in pointwise.COSTLY for e in eqns)
    rounded = sum(_rounding(v.aval.dtype) for e in eqns for v in e.outvars)
    return max(len(eqns) + EXPONENTIAL * costly + rounded, 1)


def _rounding(dtype: jnp.dtype) -> int:
    """The work of rounding to a type."""
    return 0 if dtype not in HALF else CALLED if _is_rounded_by_calls(dtype) else ROUNDED


def _is_rounded_by_calls(dtype: jnp.dtype) -> bool:
    """Whether XLA's operations round to a type number by number, and its functions do not.

    On jaxlib 0.11 there are no such functions.
    """
    return (
        dtype == jnp.bfloat16
        and device.jaxlib_minor() >= (0, 12)
        and not device.rounds_to_bfloat16()
    )


def _in_place() -> bool:
    return device.on_cpu() and device.jaxlib_minor() >= (0, 11)


def _or(given: bool | None, chosen: bool) -> bool:
    return chosen if given is None else given


def _turn(step: Step, length: int, shape, tile: int | None, n_loops: int) -> int:
    """How many steps to write out in one turn of the loop."""
    some, many = MANY_LOOPS
    if len(step.eqns) >= BIG_STEP:
        return 1
    if length <= SEGMENT:
        return length if _has_barriers() or length <= _within(_fused_steps(step)) else 2
    if length <= WRITTEN_OUT and tile and n_loops <= many:
        return length
    if products.find(step):
        return 1
    return SEGMENT if n_loops <= some else 2 if n_loops <= many else 1


def _is_slow_on_one_core(step: Step) -> bool:
    """Whether XLA for CPU would make a loop one function without vector loads."""
    return (
        device.on_cpu()
        and device.jaxlib_minor() >= (0, 12)
        and not products.find(step)  # with one it is no function
        and _is_of_16_bits(step)
        and _neurons(step) >= LARGE_TILED_FROM
    )


def _tile(step: Step, shape: tuple[int, ...] | None, parallel: bool | None) -> int | None:
    """How many neurons to work on at a time."""
    if shape is None or not device.one_cpu() or device.jaxlib_minor() < (0, 11):
        return None
    large = _or(parallel, _is_of_16_bits(step))
    tile, tiled_from = (LARGE_TILE, LARGE_TILED_FROM) if large else (TILE, TILED_FROM)
    return tile if _neurons(step) >= tiled_from else None


def _is_of_16_bits(step: Step) -> bool:
    """Whether it reads or makes numbers of 16 bits that XLA's operations round well."""
    dtypes = {v.aval.dtype for v in [*step.state, *step.xs, *filter(is_var, step.ys)]}
    return any(d in HALF and not _is_rounded_by_calls(d) for d in dtypes)


def _neurons(step: Step) -> int:
    """The size of the largest state; of those that `jax.export` has left open, 0."""
    shapes = [v.aval.shape for v in step.state]
    known = [math.prod(s) for s in shapes if all(isinstance(n, int) for n in s)]
    return max(known, default=0)
