"""Every annotation of the library is checked whenever the tests call it.

The import hook of jaxtyping puts a decorator on each function and dataclass; ours is around
beartype and lets the library speak first: arguments that break an annotation must be refused by
an error of its own. Functions inside functions are left alone; they would be wrapped at every call.
"""

import dataclasses
import functools
import inspect
from typing import Any, Self, Union

import beartype
import jax
import jaxtyping
import numpy as np
from jax.export import symbolic_shape


class WrongAnnotationError(AssertionError):
    """A value that its annotation does not allow, and that the library took or returned."""


class _RefusedError(Exception):
    """Arguments that break an annotation."""


# The numbers in a program, which JAX takes wherever it takes arrays.
PROGRAM = jax.make_jaxpr(lambda n, x: (n + 2, x + 2.0))(1, 1.0)
LITERALS = {type(v.val) for eqn in PROGRAM.eqns for v in eqn.invars if hasattr(v, "val")}
WIRE = "jaxspike.nir.writing.trace.Wire"  # what stands for an array while a network is written
ARRAYS = Union[jax.Array, np.ndarray, np.generic, WIRE, *(LITERALS - {int, float})]
SIZES = int | np.integer | type(symbolic_shape("n")[0])

CONF = beartype.BeartypeConf(
    is_color=False,
    is_pep484_tower=True,  # an int is a float
    hint_overrides=beartype.FrozenDict({jax.Array: ARRAYS, int: SIZES, Self: Any}),
    violation_param_type=_RefusedError,
    violation_return_type=WrongAnnotationError,
)


def checked(function=None, **_):
    """Check the annotations of a function, or of the `__init__` of a dataclass."""
    if function is None:
        return checked
    if inspect.isclass(function):
        if dataclasses.is_dataclass(function) and "__init__" in vars(function):
            function.__init__ = checked(function.__init__)
        return function
    if "<locals>" in function.__qualname__ or not function.__annotations__:
        return function

    @functools.cache
    def strict():
        return beartype.beartype(conf=CONF)(function)

    @functools.wraps(function)
    def call(*args, **kwargs):
        try:
            return strict()(*args, **kwargs)
        except _RefusedError as e:
            wrong = str(e)
        function(*args, **kwargs)
        raise WrongAnnotationError(wrong)

    return call


def install():
    """Check all that is imported of the library from here on."""
    jaxtyping.jaxtyped = checked
    jaxtyping.install_import_hook("jaxspike", None)
