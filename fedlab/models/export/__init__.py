"""Trained models in the form of other libraries."""
