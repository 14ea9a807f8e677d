"""Networks to and from the Neuromorphic Intermediate Representation (NIR).

Needs the extra ``jaxspike[nir]``, and is imported on demand: ``import jaxspike.nir``.
"""

try:
    import h5py as _h5py  # noqa: F401
    import nir as _nir  # noqa: F401
except ImportError as e:
    raise ImportError(
        "`jaxspike.nir` needs the packages nir and h5py. Install `jaxspike[nir]`."
    ) from e

from .data import from_data as from_data, to_data as to_data
from .module import Graph as Graph, GraphState as GraphState
from .neuron import NIRNeuron as NIRNeuron
from .read import from_nir as from_nir
from .write import to_nir as to_nir
