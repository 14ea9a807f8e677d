"""Neuron models, one file each, and their states.

Parameters are named and parametrized as in the source of each model. Where it has a time constant,
the field is ``tau``, in time steps (`LIF`, `LI`, `KLIF`, `QIF`, ...). Where it has a decay, the
fraction kept after a step, the field ends in ``_decay`` (`ALIF`, `AdLIF`, `Alpha`, `CubaLIF`,
`DiscreteLIF`). A time constant ``tau`` is the decay ``exp(-1 / tau)`` if it is exact, and
``1 - 1 / tau`` in Euler steps, as in `LIF`. `GatedLIF` calls a decay ``tau``, as its paper does.
"""

from .adex import AdEx as AdEx, AdExState as AdExState
from .adlif import AdLIF as AdLIF, AdLIFState as AdLIFState
from .alif import ALIF as ALIF, ALIFState as ALIFState
from .alpha import Alpha as Alpha, AlphaState as AlphaState
from .base import Neuron as Neuron, SequenceNeuron as SequenceNeuron
from .brf import BRF as BRF, BRFState as BRFState
from .clif import CLIF as CLIF, CLIFState as CLIFState
from .cuba_lif import CubaLIF as CubaLIF, CubaLIFState as CubaLIFState
from .delay import Delay as Delay, DelayState as DelayState
from .discrete_lif import DiscreteLIF as DiscreteLIF, DiscreteLIFState as DiscreteLIFState
from .eif import EIF as EIF, EIFState as EIFState
from .fixed_point import FixedPoint as FixedPoint
from .gated_lif import GatedLIF as GatedLIF, GatedLIFState as GatedLIFState
from .if_ import IF as IF, IFState as IFState
from .ilif import ILIF as ILIF, ILIFState as ILIFState
from .izhikevich import Izhikevich as Izhikevich, IzhikevichState as IzhikevichState
from .izhikevich2003 import (
    Izhikevich2003 as Izhikevich2003,
    Izhikevich2003State as Izhikevich2003State,
)
from .klif import KLIF as KLIF, KLIFState as KLIFState
from .li import LI as LI, LIState as LIState
from .liaf import LIAF as LIAF, LIAFState as LIAFState
from .lif import LIF as LIF, LIFState as LIFState
from .masked_psn import MaskedPSN as MaskedPSN
from .noise import (
    MembraneNoise as MembraneNoise,
    NoiseState as NoiseState,
    Stochastic as Stochastic,
    log_prob as log_prob,
    reseed as reseed,
)
from .psn import PSN as PSN
from .qif import QIF as QIF, QIFState as QIFState
from .quantized import Quantized as Quantized
from .refractory import Refractory as Refractory, RefractoryState as RefractoryState
from .resonate_and_fire import (
    ResonateAndFire as ResonateAndFire,
    ResonateAndFireState as ResonateAndFireState,
)
from .se_adlif import SEAdLIF as SEAdLIF, SEAdLIFState as SEAdLIFState
from .silif import SiLIF as SiLIF, SiLIFState as SiLIFState
from .sliding_psn import SlidingPSN as SlidingPSN
from .synapse_filter import SynapseFilter as SynapseFilter, SynapseFilterState as SynapseFilterState
from .tclif import TCLIF as TCLIF, TCLIFState as TCLIFState
from .ternary_if import TernaryIF as TernaryIF, TernaryIFState as TernaryIFState
from .ternary_lif import TernaryLIF as TernaryLIF, TernaryLIFState as TernaryLIFState
