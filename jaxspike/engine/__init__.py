"""The engine: one transformation over time, for any step function. See README.md beside this."""

from .policy import Policy as Policy
from .program.contractions import fold_batch as fold_batch
from .scan import scan as scan
