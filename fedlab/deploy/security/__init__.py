"""Keys and certificates of a deployment."""
