"""Planned runs: an experiment's own server over clients that say what they would do, and train nothing."""
