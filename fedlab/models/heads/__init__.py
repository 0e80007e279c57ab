"""What is read off a backbone, one task a file."""
