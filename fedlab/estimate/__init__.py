"""What rounds cost, worked out without training: of a trajectory, of a planned experiment."""
