"""Read the step: its equations, and facts about them."""

from .axis import (
    MOVES as MOVES,
    Axis as Axis,
    LostError as LostError,
    is_constant_along as is_constant_along,
    moved as moved,
    order as order,
    work as work,
)
from .compat import scan_arity as scan_arity, trace_context_error as trace_context_error
from .contractions import CONTRACTIONS as CONTRACTIONS
from .convolutions import (
    has_convolution as has_convolution,
    with_fast_convolutions as with_fast_convolutions,
)
from .elementwise import (
    body_of as body_of,
    diagonal as diagonal,
    is_elementwise as is_elementwise,
)
from .jaxpr import (
    Atom as Atom,
    evaluate as evaluate,
    function as function,
    is_var as is_var,
    jaxprs_in as jaxprs_in,
    outputs_of as outputs_of,
    prune as prune,
    type_of as type_of,
    unique as unique,
    value as value,
)
from .linear import has_gradient as has_gradient, scales as scales
from .location import line_of as line_of, location as location
from .step import Step as Step, flatten as flatten
