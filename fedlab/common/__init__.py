"""What every folder may use: time, randomness, units, files."""
