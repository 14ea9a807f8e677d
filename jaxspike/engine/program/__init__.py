"""Read the step: as a list of equations, and what is true of each."""

from .jaxpr import is_var as is_var, prune as prune
from .step import flatten as flatten
