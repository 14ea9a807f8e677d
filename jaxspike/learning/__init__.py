"""Learning rules other than backpropagation through time."""

from .cut import cut as cut
from .explain import Explanation as Explanation, Memory as Memory, explain as explain
from .feedback import Feedback as Feedback, align as align, direct as direct
from .homeostasis import SynapticScaling as SynapticScaling, normalize as normalize
from .modulated import (
    MSTDP as MSTDP,
    MSTDPET as MSTDPET,
    DopamineSTDP as DopamineSTDP,
    EligibilityTraces as EligibilityTraces,
    ModulatedRule as ModulatedRule,
)
from .online import (
    OnlineState as OnlineState,
    OnlineStep as OnlineStep,
    accumulate as accumulate,
    online as online,
)
from .plasticity import PlasticityRule as PlasticityRule
from .post_spike_stdp import PostSpikeSTDP as PostSpikeSTDP
from .settings import Online as Online
from .stdp import STDP as STDP, STDPTraces as STDPTraces
from .triplet_stdp import TripletSTDP as TripletSTDP, TripletTraces as TripletTraces
from .weight_dependence import (
    Additive as Additive,
    PowerLaw as PowerLaw,
    Proportional as Proportional,
    WeightDependence as WeightDependence,
)
