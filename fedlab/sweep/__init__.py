"""Sweeps: many runs of one file, each trained, resumed or repriced."""
