"""Plots of spikes, membranes, layers, events, surrogates and training runs, with matplotlib.

Every function draws into the axes given as ``ax``, or else into a new figure of
`matplotlib.pyplot`, and returns the axes, to be labeled, restyled or saved like any other. Values
are shown unchanged; time steps are counted from 0. Install it with
``pip install 'jaxspike[plot]'``; matplotlib is imported at the first plot.
"""

from .accuracies import accuracy as accuracy
from .activity import membrane as membrane, raster as raster, spike_counts as spike_counts
from .curves import training_curves as training_curves
from .events import event_animation as event_animation, event_frames as event_frames
from .operations import operations as operations
from .rates import firing_rates as firing_rates
from .surrogates import surrogate as surrogate
