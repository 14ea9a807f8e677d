"""A ready-made training loop: `fit` and `evaluate`.

It is a loop around ``flax.nnx.value_and_grad`` and ``optimizer.update``; you can just as well write
your own. It adds a progress bar, checkpoints that resume bit for bit, truncated backpropagation,
and an early stop at the first number that is not finite, naming its layer. Checkpoints (Orbax) and
the bar (tqdm) need ``pip install 'jaxspike[train]'``.
"""

from .evaluate import evaluate as evaluate
from .fit import fit as fit
from .results import Epoch as Epoch, Score as Score
from .scale_to_firing_rate import scale_to_firing_rate as scale_to_firing_rate
from .sparse import sparse as sparse
