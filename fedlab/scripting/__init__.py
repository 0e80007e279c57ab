"""Experiments from Python, in scripts and notebooks as on the command line."""
