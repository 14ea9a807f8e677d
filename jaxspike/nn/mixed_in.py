"""`mixed_in`: another class for one object, in front of its own."""

import functools
from typing import Any


@functools.cache
def mixed_in(mixin: type, cls: type) -> type:
    """The class ``cls`` with the methods of ``mixin`` before its own, under the name of ``cls``."""
    return type(cls.__name__, (mixin, cls), {})


def mix_in(mixin: type, module):
    """Give ``module`` the methods of ``mixin`` before those of its own class."""
    cls: Any = type(module)
    object.__setattr__(module, "__class__", mixed_in(mixin, cls))
    return module
