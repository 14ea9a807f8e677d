"""The neurons of other libraries, with their arguments and defaults, as neurons of this one.

A preset is a function that returns a neuron, so a ported network gives the spikes that it gave
there, and its weights can be trained on. They can be called under `jax.grad`, to learn a parameter
as the other library has it; ``js.nn.Spiking(preset, learn=...)`` learns the fields of the neuron.

>>> import jaxspike as js
>>> neuron = js.presets.snntorch_leaky(beta=0.9)
>>> neuron.v_decay, neuron.fires, neuron.reset
(0.9, '>', 'after_charge')
"""

from .norse import (
    norse_iaf as norse_iaf,
    norse_li as norse_li,
    norse_li_box as norse_li_box,
    norse_lif as norse_lif,
    norse_lif_box as norse_lif_box,
)
from .sinabs import sinabs_iaf as sinabs_iaf, sinabs_lif as sinabs_lif
from .snntorch import (
    snntorch_alpha as snntorch_alpha,
    snntorch_lapicque as snntorch_lapicque,
    snntorch_leaky as snntorch_leaky,
    snntorch_synaptic as snntorch_synaptic,
)
from .spyx import (
    spyx_cuba_lif as spyx_cuba_lif,
    spyx_if as spyx_if,
    spyx_li as spyx_li,
    spyx_lif as spyx_lif,
)
