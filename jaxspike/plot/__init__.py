"""Pictures of spikes, membranes, layers, events, surrogates and trainings, with matplotlib.

Every function draws into the axes that it is given as ``ax``, else into a new figure of
`matplotlib.pyplot`, and returns the axes, to be labelled, restyled or saved as any other. Values
are shown as they are; time steps are counted from 0. Install it with
``pip install 'jaxspike[plot]'``; matplotlib is imported with the first picture.
"""

from .activity import membrane as membrane, raster as raster, spike_counts as spike_counts
from .curves import training_curves as training_curves
from .events import event_animation as event_animation, event_frames as event_frames
from .rates import firing_rates as firing_rates
from .surrogates import surrogate as surrogate
