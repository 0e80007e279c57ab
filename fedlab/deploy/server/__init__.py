"""The server's side of a run on real nodes."""
