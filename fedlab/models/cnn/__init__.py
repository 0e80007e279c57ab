"""Convolutional networks: lists of layers, described without torch, that float and integer training compute."""
