"""The engine: one transformation over time, for any step function. See README.md in this folder."""

from .device import one_cpu as one_cpu
from .policy import Policy as Policy
from .program.chunked_convolution import conv_in_chunks as conv_in_chunks
from .program.compat import api_boundary as api_boundary, hide_frames
from .program.contractions import batch_outermost as batch_outermost, fold_batch as fold_batch
from .program.convolution_by_taps import conv_by_taps as conv_by_taps
from .scan import scan as scan

# an error in a user's step shows the user's frames, not those between the call and the step
hide_frames("engine", "nn", "neurons/base.py")
