"""The one way in which a suspicious file is warned about: by node and field."""

import warnings


def warn(name: str, kind: str, what: str) -> None:
    """Warn about a node of a file that can be read but may not mean what it says."""
    warnings.warn(f"`from_nir(graph=...)`: the node {name!r} ({kind}) {what}.", stacklevel=2)
