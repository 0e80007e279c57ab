"""Measuring the machine it stands on, as a device profile."""
