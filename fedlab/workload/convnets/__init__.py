"""Convolutional networks as plain data: the layers that their cost depends on, and no weights."""
