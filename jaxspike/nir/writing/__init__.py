"""Networks as NIR graphs."""

from .to_nir import to_nir as to_nir
