"""Client side: the ClientApp and one way of training a file."""
