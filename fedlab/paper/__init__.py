"""The published study's own figures, and ours beside them."""
