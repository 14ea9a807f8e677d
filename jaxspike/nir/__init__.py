"""Networks to and from the Neuromorphic Intermediate Representation (NIR).

Reading and writing need the packages nir and h5py: ``pip install 'jaxspike[nir]'``.
"""

from .convention import (
    EXACT as EXACT,
    NORSE as NORSE,
    SINABS as SINABS,
    SNNTORCH as SNNTORCH,
    SPIKINGJELLY as SPIKINGJELLY,
    Convention as Convention,
)
from .graph_module import Graph as Graph, GraphState as GraphState
from .neuron import NIRNeuron as NIRNeuron
from .reading import from_nir as from_nir
from .signals import from_data as from_data, to_data as to_data
from .writing import to_nir as to_nir
