"""The neurons and rules of other libraries, with their arguments and defaults, by library.

A preset is a function that returns a neuron, so a ported network produces the same spikes as in the
other library, and its training can continue. Call a preset under `jax.grad` to learn a parameter as
the other library defines it; ``js.nn.Spiking(preset, learn=...)`` learns the fields of the neuron.
`spikingjelly` and `bindsnet` have learning rules, which return what the other library would add to
the weights. `izhikevich` has the cell types of a paper, not of a library, and `loihi` the neuron of
a chip.

>>> import jaxspike as js
>>> neuron = js.presets.snntorch.leaky(beta=0.9)
>>> neuron.v_decay, neuron.fires, neuron.reset_time
(0.9, '>', 'after_charge')
"""

from . import (
    bindsnet as bindsnet,
    izhikevich as izhikevich,
    loihi as loihi,
    norse as norse,
    sinabs as sinabs,
    snntorch as snntorch,
    spikingjelly as spikingjelly,
    spyx as spyx,
)
