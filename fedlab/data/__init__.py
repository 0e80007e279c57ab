"""Text data sets: sources, tokenisation and the partition over clients."""
