"""Keyed random draws: a draw depends on its purpose and coordinates, never on when or where it is made."""

import hashlib

import numpy as np


def seed_for(seed: int, purpose: str, *keys: int) -> int:
    """Return the 63-bit seed of one draw, keyed by the experiment's seed, a purpose and coordinates.

    The same keys give the same seed on every machine and in every order of calls. Different keys give seeds that are
    independent for all practical purposes (SHA-256).
    """
    text = "/".join([str(seed), purpose, *(str(key) for key in keys)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, purpose: str, *keys: int) -> np.random.Generator:
    """Return a NumPy generator for one draw, keyed like `seed_for`."""
    return np.random.default_rng(seed_for(seed, purpose, *keys))
