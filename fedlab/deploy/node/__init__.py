"""One real node: its settings, its processes, what it measures."""
