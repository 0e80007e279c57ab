"""What a client did, as passes through a model, and what it cost."""
