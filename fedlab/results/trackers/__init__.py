"""Experiment trackers, and observers of a user's own, that are told of a run as it happens."""
