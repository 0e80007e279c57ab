"""Runs on real machines: nodes that come and go, time as measured, keys, and what nodes are started with."""
