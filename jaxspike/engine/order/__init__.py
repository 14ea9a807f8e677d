"""Cut the step: which equations share a loop over time, and which need no loop."""

from .components import components as components
from .graph import Graph as Graph
