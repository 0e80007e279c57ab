"""Deployment: runs on real machines, with live nodes, measured time, keys and certificates, and a gateway."""
