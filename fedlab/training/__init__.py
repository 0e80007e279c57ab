"""What one process does with a model: frozen states, local training, and measuring."""
