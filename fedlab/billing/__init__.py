"""What passes through a grid, charged: the physics at work in a run."""
