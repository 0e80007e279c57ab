"""Ray: actors that are any client of a run, and the grid that keeps them busy."""
