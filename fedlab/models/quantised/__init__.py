"""Frozen matrices in fewer bits: int8 with exact integer products, int4 as stored weights alone."""
