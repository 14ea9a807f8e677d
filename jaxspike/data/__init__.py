"""Recordings in, arrays out: events, frames, files of sensors, batches.

All of it is NumPy, except `augment.frames`.

A reader returns `Events` or an array; `to_frames` turns events into ``[T, *, 2]``, `pad` several
recordings into a batch ``[T, N, *]``; `batches` iterates over arrays in a shuffled order that can
be resumed. A damaged file raises a `ValueError` that names the file and the byte. HDF5 and AEDAT4
files need ``pip install 'jaxspike[data]'``.
"""

from . import augment as augment
from .aedat import (
    read_aedat2 as read_aedat2,
    read_aedat3 as read_aedat3,
    read_aedat4 as read_aedat4,
    read_cifar10_dvs as read_cifar10_dvs,
    read_dvs128_gesture as read_dvs128_gesture,
)
from .batches import batches as batches
from .cache import cached as cached
from .cochlea import cochlea as cochlea
from .events import Events as Events
from .evt import read_evt2 as read_evt2, read_evt3 as read_evt3
from .frames import to_frames as to_frames, to_voxels as to_voxels
from .idx import read_idx as read_idx
from .nmnist import read_nmnist as read_nmnist
from .padding import mask as mask, pad as pad
from .prophesee import read_dat as read_dat
from .shd import read_shd as read_shd
from .slices import slice_count as slice_count, slice_time as slice_time
from .time_surfaces import to_time_surfaces as to_time_surfaces
from .wav import read_wav as read_wav
