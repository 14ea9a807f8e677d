"""A text for a function that changes when its code does, the same in every process."""

import functools
import sys
import sysconfig
import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

PLAIN = (str, int, float, complex, bool, bytes, Path, np.dtype, type(None), type(...))
INSTALLED = tuple(map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib")))


def text(value: Any, seen: set[Any]) -> str:
    """A text of plain values, functions of modules, and `functools.partial` of those.

    A function is its name, its code, and what that uses; ``seen`` holds those that were met. One
    that is installed is its name and the version of its package.
    """

    def texts(values: Iterable[Any]) -> list[str]:
        return [text(v, seen) for v in values]

    if isinstance(value, PLAIN):
        return repr(value)
    if isinstance(value, tuple | list):
        return f"{type(value).__name__}({', '.join(texts(value))})"
    if isinstance(value, set | frozenset):  # whose order differs between processes
        return f"{type(value).__name__}({', '.join(sorted(texts(value)))})"
    if isinstance(value, dict):
        return f"dict({texts(value.items())})"
    if isinstance(value, functools.partial):
        return f"partial({texts((value.func, value.args, sorted(value.keywords.items())))})"
    if isinstance(value, types.CodeType):
        return f"code({value.co_code.hex()}, {texts((value.co_names, value.co_consts))})"
    if isinstance(value, types.ModuleType):
        return f"{value.__name__} {_version(value.__name__)}"
    owner = getattr(value, "__self__", None)  # of a method
    named = "<" not in getattr(value, "__qualname__", "<object>")
    if not (named and callable(value) and isinstance(owner, types.ModuleType | None)):
        raise TypeError(repr(value))
    return _function(value, seen)


def _function(value: Any, seen: set[Any]) -> str:
    name = f"{value.__module__}.{value.__qualname__} {_version(value.__module__)}"
    while not isinstance(value, types.FunctionType) and hasattr(value, "__wrapped__"):
        value = value.__wrapped__  # that of `jax.jit`
    if not isinstance(value, types.FunctionType) or value in seen or _installed(value):
        return name
    seen.add(value)
    used = [_used(v, seen) for v in _outside(value)]
    return f"{name} {text(value.__code__, seen)} {used}"


def _used(value: Any, seen: set[Any]) -> str:
    """What a function uses: as `text`, and lambdas too; other objects count by their type."""
    if isinstance(value, types.FunctionType):
        return _function(value, seen)
    try:
        return text(value, seen)
    except TypeError:
        return type(value).__qualname__


def _outside(function: types.FunctionType) -> Iterator[Any]:
    """The values that a function finds outside of its code, in an order of their own."""
    codes = [function.__code__]
    for code in codes:  # and those inside of it, as the list grows
        codes += [c for c in code.co_consts if isinstance(c, types.CodeType)]
    names = sorted({name for code in codes for name in code.co_names})
    spaces = [function.__globals__]
    for name in names:
        module = function.__globals__.get(name)
        if isinstance(module, types.ModuleType) and not _installed(module):
            spaces.append(vars(module))
    yield from (space[name] for space in spaces for name in names if name in space)
    yield from (function.__defaults__, function.__kwdefaults__)
    yield from (cell.cell_contents for cell in function.__closure__ or ())


def _installed(value: types.FunctionType | types.ModuleType) -> bool:
    code = getattr(value, "__code__", None)
    file = code.co_filename if code else getattr(value, "__file__", None) or sys.prefix
    return str(file).startswith(INSTALLED)


def _version(module: str | None) -> str:
    """The version of the package that a module belongs to, if it says one."""
    package = sys.modules.get((module or "").partition(".")[0])
    return str(getattr(package, "__version__", ""))
