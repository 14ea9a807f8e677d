"""The engine: one transformation over time, for any step function."""

from .scan import scan as scan
