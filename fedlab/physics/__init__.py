"""What work costs in simulated seconds, joules and bytes: pure functions."""
