"""Transformers as pure functions over named weights."""
