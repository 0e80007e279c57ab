"""What is written, shown and read of a run."""
