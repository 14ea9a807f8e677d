"""Look inside a network: what its layers do, and which are silent, saturated or not finite."""

from .check_sequence import check_sequence as check_sequence
from .finite import check_finite as check_finite, first_nonfinite as first_nonfinite
from .rates import (
    FiringReport as FiringReport,
    LayerRate as LayerRate,
    firing_rates as firing_rates,
)
from .record import record as record
from .summary import LayerSummary as LayerSummary, Summary as Summary, summary as summary
