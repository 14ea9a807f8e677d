"""Checks of arguments, shared by the subpackages; each names the call, the value and the fix."""

import importlib
from collections.abc import Callable
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from ._types import Array, Shape, Tree


def integer(where: str, value: object, *, low: int, high: int | None = None, of: str = "") -> int:
    """``value`` as an int from ``low`` to ``high``, both included; ``of`` says what these are."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{where} must be an integer, got {shown(value)}. Give an int.")
    if value < low or (high is not None and value > high):
        limits = f"at least {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"{where} must be {limits}{of}, got {value}.")
    return int(value)


def number(
    where: str, value: object, *, above: float | None = None, below: float | None = None
) -> float:
    """``value`` as a float: a finite number, greater than ``above`` and less than ``below``."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{where} must be a number, got {shown(value)}. Give a float.")
    if not np.isfinite(value):
        raise ValueError(f"{where} must be finite, got {value}.")
    in_range(where, value, above=above, below=below)
    return float(value)


def drop_rate(where: str, value: object) -> float:
    """``value`` as a float: a probability to drop, in [0, 1)."""
    value = number(where, value)
    in_range(where, value, low=0, below=1)
    return value


def one_of(where: str, value: object, choices: tuple[object, ...]) -> None:
    """Refuse a ``value`` that is not one of ``choices``; 1 is not True."""
    if not any(value is c or (type(value) is type(c) and value == c) for c in choices):
        raise ValueError(f"{where} must be one of {choices}, got {shown(value)}.")


def kind(value: object) -> str:
    """A value by its type, for errors that cannot print it."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    name = type(value).__name__
    return f"{'an' if name[0] in 'AEIOaeio' else 'a'} {name}"


def shown(value: object) -> str:
    """A value as an error shows it: itself if that is short, which a network is not."""
    text = repr(value)
    return text if len(text) <= 80 and "\n" not in text else kind(value)


def instance(
    where: str, value: object, kinds, what: str, fix: str, show: Callable[[object], str] = shown
) -> None:
    """Refuse a ``value`` of another type than ``kinds``, which an error calls ``what``."""
    if not isinstance(value, kinds):
        raise TypeError(f"{where} must be {what}, got {show(value)}. {fix}")


def axes(where: str, x: Array | np.ndarray, *sizes: int | str, fix: str = "") -> None:
    """Refuse an array of other axes than ``sizes``: a name is any size, "..." are any axes."""
    known = [n for n in sizes if n != "..."]
    shape = x.shape[-len(known) :] if sizes[0] == "..." else x.shape
    shape = shape[: len(known)] if sizes[-1] == "..." else shape
    same = (not isinstance(n, int) or n == m for n, m in zip(known, shape, strict=False))
    if len(shape) != len(known) or not all(same):
        layout = ", ".join(map(str, sizes))
        raise ValueError(f"{where} must be [{layout}], got the shape {x.shape}. {fix}".rstrip())


def array(where: str, x: object, *sizes: int | str, kinds: str, fix: str = "") -> np.ndarray:
    """``x`` as a NumPy array with the axes ``sizes`` and a dtype of ``kinds``, unless empty."""
    x = np.asarray(x)
    if x.size and x.dtype.kind not in kinds:
        what = "real numbers" if "f" in kinds else "integers"
        raise TypeError(f"{where} must be {what}, got {x.dtype}. {fix}".rstrip())
    axes(where, x, *sizes, fix=fix)
    return x


def function(where: str, value: object, fix: str = "", of: str = "") -> None:
    """Refuse a ``value`` that cannot be called; ``of`` are the arguments that it takes."""
    if not callable(value):
        of = f"a function of {of}" if of else "a function"
        raise TypeError(f"{where} must be {of}, got {shown(value)}. {fix}".rstrip())


def step_form(call: str, state: Tree, out: Tree, one: str = "xs[0]") -> None:
    """Refuse a step that does not return a pair or changes the form of its state.

    ``call`` is who got the step, and ``one`` the input of a time step, for errors.
    """
    if not isinstance(out, tuple | list) or len(out) != 2:
        got = "an array" if hasattr(out, "shape") else f"a {type(out).__name__}"
        if isinstance(out, tuple | list):
            got += f" of length {len(out)}"
        raise TypeError(
            f"`{call}` must have a step that returns a pair `(state, y)`, got {got}. "
            "Return the new state first."
        )
    before: Tree = jax.tree.structure(state)
    after: Tree = jax.tree.structure(out[0])
    if before != after:
        raise TypeError(
            f"`{call}` must have a step that keeps the structure of its state, "
            f"got {after} for {before}. Return a state like the one it is given."
        )
    for (path, a), b in zip(
        jax.tree_util.tree_leaves_with_path(state), jax.tree.leaves(out[0]), strict=True
    ):
        if a.shape != b.shape:
            raise TypeError(
                f"`{call}` must have a step that keeps the shapes of its state, got "
                f"{b.shape} for state{jax.tree_util.keystr(path)} of shape {a.shape}. "
                f"Build the state for the shape of one input, `{one}`."
            )


def step_dtypes(call: str, state: Tree, out: Tree) -> None:
    """Refuse a step that changes a dtype of its state."""
    for (path, a), b in zip(
        jax.tree_util.tree_leaves_with_path(state), jax.tree.leaves(out[0]), strict=True
    ):
        if a.dtype != b.dtype:
            raise TypeError(
                f"`{call}` must have a step that keeps the dtypes of its state, got "
                f"{b.dtype} for state{jax.tree_util.keystr(path)} of {a.dtype}. "
                "Cast it in the step."
            )


def all_known(value: object, holds: Callable[..., ArrayLike]) -> bool:
    """Whether ``holds`` is true of every entry; a tracer, whose values are unknown, passes."""
    return isinstance(value, jax.core.Tracer) or bool(np.all(holds(np.asarray(value))))


def fits(shape: Shape, into: Shape) -> bool:
    """Whether an array of ``shape`` broadcasts into the shape ``into`` without widening it."""
    pairs = zip(reversed(shape), reversed(into), strict=False)
    return len(shape) <= len(into) and all(n in (1, size) for n, size in pairs)


def broadcasts(where: str, value: ArrayLike, shape: Shape) -> None:
    """Refuse an array that does not broadcast into ``shape``, or would widen it."""
    given = np.shape(value)
    if not fits(given, shape):
        raise ValueError(
            f"{where} must be a number or broadcast into the shape {shape}, got the shape {given}."
        )


def in_range(
    where: str,
    value: ArrayLike | None,
    *,
    above: float | None = None,
    low: float | None = None,
    high: float | None = None,
    below: float | None = None,
    of: str = "",
) -> None:
    """Refuse a number or an array with an entry outside a range; None and tracers pass.

    ``of`` says what the limits are.
    """
    if value is None or isinstance(value, jax.core.Tracer):
        return
    limits = (
        *(("greater than", above, np.greater), ("at least", low, np.greater_equal)),
        *(("at most", high, np.less_equal), ("less than", below, np.less)),
    )
    given = [(name, limit, holds) for name, limit, holds in limits if limit is not None]
    if not all(np.all(holds(value, limit)) for _, limit, holds in given):
        range_ = " and ".join(f"{name} {limit:g}" for name, limit, _ in given)
        range_ = f"between {low:g} and {high:g}" if None not in (low, high) else range_
        raise ValueError(f"{where} must be {range_}{of}, got {value}.")


def floating(where: str, x: ArrayLike) -> Array:
    """``x`` as an array, which must be floating point."""
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(f"{where} must be floating point, got {x.dtype}. Convert it first.")
    return x


def key(where: str, value: object) -> None:
    """Refuse what is not one random key."""
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    typed = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key) and shape == ()
    if not typed and not (dtype == jnp.uint32 and shape == (2,)):
        what = repr(value) if dtype is None else f"an array {dtype}{list(shape or ())}"
        raise TypeError(f"{where} must be a random key, got {what}. Give `jax.random.key(seed)`.")


def at_least_float32(x: Array) -> Array:
    """``x`` in at least float32."""
    return x if x.dtype == jnp.float64 else x.astype(jnp.float32)


def numbers(where: str, x: ArrayLike, fix: str) -> Array:
    """``x`` as an array, which must be numbers: not strings, and not objects."""
    dtype = getattr(x, "dtype", None) or np.asarray(x).dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "OSUmM":
        raise TypeError(f"{where} must be numbers, got {dtype}. {fix}")
    return jnp.asarray(x)


def as_real(where: str, x: ArrayLike) -> Array:
    """``x`` as an array in at least float32: in bfloat16 a count would stop at 256."""
    x = jnp.asarray(x)
    if not (x.dtype == bool or jnp.issubdtype(x.dtype, jnp.integer)):
        x = floating(where, x)
    return at_least_float32(x)


def sequence(where: str, x: ArrayLike, layout: str = "[T, N, *]") -> Array:
    """``x`` in at least float32, which must have the axes of ``layout`` and a step in it."""
    x, axes = as_real(where, x), layout.count(",") + 1
    if not (x.ndim >= axes - 1 if layout.endswith("*]") else x.ndim == axes):
        raise ValueError(
            f"{where} must be {layout}, got the shape {x.shape}. Time is the first axis."
        )
    if not x.shape[0]:
        raise ValueError(f"{where} must have at least one time step, got the shape {x.shape}.")
    return x


def package(where: str, name: str, extra: str, otherwise: str = "") -> ModuleType:
    """An optional package; ``extra`` is what installs it."""
    try:
        return importlib.import_module(name)
    except ImportError as e:
        raise ImportError(
            f"{where} needs the package {name.partition('.')[0]}. "
            f"Install it: `pip install 'jaxspike[{extra}]'`{otherwise}."
        ) from e
