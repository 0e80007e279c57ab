"""Training in integers alone, as NITI does: int8 mantissas with one exponent a tensor, exact int32 sums."""
