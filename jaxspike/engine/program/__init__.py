"""Read the step: as a list of equations, and what is true of each."""

from .compat import scan_arity as scan_arity
from .jaxpr import (
    function as function,
    is_var as is_var,
    prune as prune,
    type_of as type_of,
    unique as unique,
    value as value,
)
from .step import flatten as flatten
