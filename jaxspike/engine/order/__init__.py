"""Cut the step: which equations loop over time together, and which need no loop."""
