"""NIR graphs as networks."""

from .from_nir import from_nir as from_nir
