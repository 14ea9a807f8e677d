"""The engine: one transformation over time, for any step function."""

from .policy import Policy as Policy
from .scan import scan as scan
