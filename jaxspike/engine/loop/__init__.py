"""Run one loop over time, forward and backward."""
