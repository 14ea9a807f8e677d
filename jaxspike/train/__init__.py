"""A training loop for those who do not want to write theirs: `fit` and `evaluate`.

It is a loop around ``flax.nnx.value_and_grad`` and ``optimizer.update``, nothing else is needed to
train; the plain loop of the README does the same. Beside it: a progress bar, checkpoints from which
a training goes on as if it had never stopped, truncated backpropagation, and a stop at the first
number that is not finite, with the layer named. ``pip install 'jaxspike[train]'`` for checkpoints
(Orbax) and the bar (tqdm).
"""

from .evaluate import Score as Score, evaluate as evaluate
from .fit import Epoch as Epoch, fit as fit
from .scale_to_firing_rate import scale_to_firing_rate as scale_to_firing_rate
