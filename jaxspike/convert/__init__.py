"""Weights from other libraries and from other Flax networks."""

from .ann import from_ann as from_ann
from .torch import from_torch as from_torch, to_torch as to_torch
