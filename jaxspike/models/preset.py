"""`preset`: a function that makes networks, under another name and with other defaults."""

import inspect
from collections.abc import Callable
from typing import TypeVar, cast

from flax import nnx

Make = TypeVar("Make", bound=Callable[..., nnx.Module])


def preset(make: Make, name: str, about: str, **defaults: object) -> Make:
    """The function ``make`` under another name and with other defaults.

    A `functools.partial` that has a name, a signature and a docstring, whose arguments can be given
    by position, and whose name is in the errors.

    Args:
        make: The function of a family, which documents the arguments.
        name: The name of the preset.
        about: Its docstring, to which a sentence on the arguments is added.
        **defaults: Arguments of ``make``.
    """
    parameters = dict(inspect.signature(make).parameters)
    for argument, value in defaults.items():
        parameters[argument] = parameters[argument].replace(default=value)
    signature = inspect.Signature(list(parameters.values()), return_annotation=nnx.Module)
    family = make.__name__

    def named(*args, **arguments):
        try:
            given = signature.bind(*args, **arguments).arguments
        except TypeError as error:
            known = ", ".join(parameters)
            raise TypeError(f"`{name}(...)`: {error}. Its arguments are {known}.") from None
        try:
            return make(**{**defaults, **given})
        except (TypeError, ValueError) as error:
            error.args = tuple(str(a).replace(f"`{family}(", f"`{name}(") for a in error.args)
            raise

    named.__name__ = named.__qualname__ = name
    named.__module__ = make.__module__
    named.__doc__ = f"{about}\n\nArguments, shapes and errors are those of `{family}`.\n"
    vars(named)["__signature__"] = signature
    return cast(Make, named)
