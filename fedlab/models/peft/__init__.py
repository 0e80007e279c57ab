"""What is trained of a model, one kind a file."""
