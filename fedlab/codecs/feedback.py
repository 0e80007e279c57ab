"""Error feedback: the encoding error of an update is added to the next update.

Source: Seide et al. 2014; Karimireddy et al. 2019 prove that it restores the convergence of biased codecs.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fedlab.codecs.pipeline import Pipeline
from fedlab.common.arrays import Shape


@dataclass(frozen=True, kw_only=True)
class EncodedUpdate:
    """An encoded update, and the residual to add to the next one."""

    payload: bytes
    residual: dict[str, np.ndarray]


def encode_with_feedback(
    update: Mapping[str, np.ndarray],
    residual: Mapping[str, np.ndarray],
    pipeline: Pipeline,
    generator: np.random.Generator,
) -> EncodedUpdate:
    """Encode update plus residual.

    decoded + new residual = update + old residual, so over many rounds the sum of the decoded updates differs from the
    sum of the updates by one residual. A residual with infinite or NaN values is dropped, so that one diverged step
    does not spoil the following ones.
    """
    wanted = {name: array + fitted(residual.get(name), array.shape) for name, array in update.items()}
    payload = pipeline.encode(wanted, generator)
    decoded = pipeline.decode(payload, {name: array.shape for name, array in wanted.items()})
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        left = {name: np.subtract(wanted[name], array, out=array) for name, array in decoded.items()}
    return EncodedUpdate(
        payload=payload, residual={name: array for name, array in left.items() if np.isfinite(array).all()}
    )


def fitted(residual: np.ndarray | None, shape: Shape) -> np.ndarray | np.float32:
    """Fit a residual to an array's new shape: pad with zeros where the array grew, return 0 if it shrank."""
    if residual is None or residual.ndim != len(shape):
        return np.float32(0)
    added = [new - old for old, new in zip(residual.shape, shape, strict=True)]
    return np.float32(0) if min(added, default=0) < 0 else np.pad(residual, [(0, count) for count in added])
