"""Server side: the ServerApp and one federated algorithm a file."""
