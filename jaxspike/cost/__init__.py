"""The meter: operations, energy and memory of a network, from its equations and real data."""

from .energy import (
    Energy as Energy,
    EnergyModel as EnergyModel,
    Horowitz45nm as Horowitz45nm,
    SpikingJellySimple as SpikingJellySimple,
    energy as energy,
)
from .lemaire import Lemaire2022 as Lemaire2022
from .neurobench import neurobench as neurobench
from .operations import operations as operations
from .report import Operations as Operations, Row as Row
from .with_operations import with_operations as with_operations
