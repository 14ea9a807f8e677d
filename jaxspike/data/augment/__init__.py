"""Event augmentations: functions of `Events` in NumPy, and of frames in JAX.

A function that draws takes a `numpy.random.Generator`, so that a run can be reproduced. Events that
leave the sensor are dropped; all others are kept, in ascending order of time. `frames` has the same
for ``[T, H, W, 2]`` inside `jax.jit`, with a random key in place of the generator.

>>> import numpy as np, jaxspike as js
>>> zeros = np.zeros(3, int)
>>> events = js.data.Events(t=np.array([10, 20, 40]), x=np.array([0, 1, 5]), y=zeros, p=zeros)
>>> js.data.augment.flip(events, (4, 8)).x.tolist()
[7, 6, 2]
>>> rng = np.random.default_rng(0)
>>> len(js.data.augment.drop(events, 0.3, rng=rng).t)
2
"""

from . import frames as frames
from .dropping import (
    drop as drop,
    drop_area as drop_area,
    drop_time as drop_time,
    event_drop as event_drop,
)
from .geometry import (
    crop as crop,
    flip as flip,
    jitter_space as jitter_space,
    nda as nda,
    roll as roll,
    rotate as rotate,
    scale as scale,
    shear as shear,
    shift as shift,
)
from .mixing import event_mix as event_mix, mix as mix
from .noise import (
    flip_polarity as flip_polarity,
    hot_pixels as hot_pixels,
    uniform_noise as uniform_noise,
)
from .times import (
    jitter_time as jitter_time,
    reverse_time as reverse_time,
    skew_time as skew_time,
)

__all__ = (
    *("crop", "drop", "drop_area", "drop_time", "event_drop", "event_mix", "flip"),
    *("flip_polarity", "frames", "hot_pixels", "jitter_space", "jitter_time", "mix", "nda"),
    *("reverse_time", "roll", "rotate", "scale", "shear", "shift", "skew_time", "uniform_noise"),
)


def __dir__() -> tuple[str, ...]:
    return __all__
