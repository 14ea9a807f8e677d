"""Read the step: as a list of equations, and what is true of each."""

from .jaxpr import is_var as is_var, prune as prune, type_of as type_of
from .step import flatten as flatten
