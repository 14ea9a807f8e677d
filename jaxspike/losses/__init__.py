"""Losses of a recorded output, and the accuracies that match them.

A loss takes the output of every step, ``[T, N, C]``, and labels ``[N]``, and returns the mean over
the batch as a scalar in at least float32. A label that is not a class raises, or gives NaN where
labels are traced and their values unknown. A *readout* reduces the time axis: a function
``[T, N, C] -> [N, C]`` from `jaxspike.readout`, or your own; without one each step is scored.

==================================================  ===============================================
here                                                elsewhere
==================================================  ===============================================
``cross_entropy(spikes, y)``                        snnTorch ``ce_rate_loss``, SpikingJelly TET
``cross_entropy(v, y)``                             per-step cross-entropy of a membrane
``cross_entropy(spikes, y, count)``                 snnTorch ``ce_count_loss``
``cross_entropy(spikes, y, rate)``                  SpikingJelly ``F.cross_entropy(out_fr, y)``
``cross_entropy(v, y, maximum)``                    snnTorch ``ce_max_membrane_loss``
``cross_entropy_temporal(spikes, y)``               snnTorch ``ce_temporal_loss``
``mse(v, y, correct=..., incorrect=...)``           snnTorch ``mse_membrane_loss``
``mse(spikes, y, rate)``                            SpikingJelly ``F.mse_loss(out_fr, onehot)``
``mse_count(spikes, y, ...)``                       snnTorch ``mse_count_loss``
``mse_temporal(spikes, y, ...)``                    snnTorch ``mse_temporal_loss``
``accuracy(spikes, y)``                             snnTorch ``accuracy_rate``
``accuracy(spikes, y, earliest)``                   snnTorch ``accuracy_temporal``, with
                                                    ``earliest = lambda s: -first_spike_time(s)``
``f(spikes, y, votes)``                             snnTorch ``population_code=True``, with
                                                    ``votes = lambda s: k * voting(count(s), C)``
==================================================  ===============================================
"""

from .accuracy import accuracy as accuracy
from .cross_entropy import (
    cross_entropy as cross_entropy,
    cross_entropy_temporal as cross_entropy_temporal,
    tet as tet,
)
from .mse import mse as mse, mse_count as mse_count, mse_temporal as mse_temporal
from .score_function import score_function as score_function
from .spike_trains import rate_band as rate_band, sparsity as sparsity, van_rossum as van_rossum
