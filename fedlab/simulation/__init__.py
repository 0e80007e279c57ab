"""A run on simulated clients."""
