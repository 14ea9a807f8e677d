"""Cut the step: which equations loop over time together, and which need no loop."""

from .components import components as components
from .graph import Graph as Graph
