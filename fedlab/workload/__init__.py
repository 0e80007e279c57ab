"""What a client did, in counts, and what it cost."""
