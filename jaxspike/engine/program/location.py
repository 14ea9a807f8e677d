"""Where an equation stands: its layer or operation, and the line of the user's code."""

import pathlib
import sys

import jax
from jax.extend.core import JaxprEqn

from .jaxpr import jaxprs_in

# whose frames are passed over
LIBRARIES = [pathlib.Path(__file__).parents[2], pathlib.Path(jax.__file__).parent]
_CALLS = ("jit", "closed_call", "custom_jvp_call", "custom_vjp_call")


def location(eqn: JaxprEqn) -> str:
    """The operation, or the layer if it is a call of one, and the line: ``scan at a.py:3 (f)``."""
    name, scopes = eqn.primitive.name, str(eqn.source_info.name_stack).split("/")
    name = scopes[0] if name in _CALLS and scopes[0] else name
    line = line_of(eqn)
    return f"`{name}` at {line}" if line else f"`{name}`"


def line_of(eqn: JaxprEqn) -> str:
    """The innermost frame outside of the libraries, also of what is inside; "" if none is known."""
    flax = getattr(sys.modules.get("flax"), "__file__", None)
    libraries = [*LIBRARIES, *([pathlib.Path(flax).parent] if flax else [])]
    for frame in getattr(eqn.source_info.traceback, "frames", ()):
        path = pathlib.Path(frame.file_name)
        if path.is_absolute() and not any(map(path.is_relative_to, libraries)):
            return f"{path}:{frame.line_num} ({frame.function_name.rpartition('.')[2]})"
    return next(filter(None, (line_of(e) for body in jaxprs_in(eqn) for e in body.eqns)), "")
