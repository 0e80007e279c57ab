"""The weights of a backbone by name, some of them quantised matrices, and as plain tensors, such as files hold."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from fedlab.models.quantised.base import QuantisedMatrix, Weight
from fedlab.models.quantised.int4 import Int4Matrix
from fedlab.models.quantised.int8 import Int8Matrix
from fedlab.workload.passes import Precision

QUANTISED: Mapping[str, type[QuantisedMatrix]] = {"int8": Int8Matrix, "int4": Int4Matrix}  # by precision
# What the parts of a quantised matrix are called behind its name; the first one tells which kind it is.
_PARTS: Mapping[str, Sequence[str]] = {"int8": ("values", "scales"), "int4": ("packed", "scales")}


def is_quantised_in(precision: str, name: str, dimensions: int) -> bool:
    """Tell whether a weight of a backbone is quantised in a precision: the matrices of blocks are, in int8 and int4."""
    return precision in QUANTISED and name.startswith("blocks.") and dimensions == 2


def is_part(name: str) -> bool:
    """Tell whether a plain tensor is a part of a quantised matrix, by its name."""
    return any(name.endswith(f".{part}") for parts in _PARTS.values() for part in parts)


def in_parts(weights: Mapping[str, Weight]) -> dict[str, Tensor]:
    """Return weights as plain tensors: of a quantised matrix its parts."""
    found: dict[str, Tensor] = {}
    for name, weight in weights.items():
        found |= parts_of(name, weight) if isinstance(weight, QuantisedMatrix) else {name: weight}
    return found


def parts_of(name: str, matrix: QuantisedMatrix) -> dict[str, Tensor]:
    """Return the parts of a quantised matrix by the names that they have among the tensors of a backbone."""
    return {f"{name}.{part}": tensor for part, tensor in matrix.parts.items()}


def from_parts(tensors: Mapping[str, Tensor]) -> dict[str, Weight]:
    """Return the weights that `in_parts` made these tensors of."""
    found: dict[str, Weight] = {name: tensor for name, tensor in tensors.items() if not is_part(name)}
    for precision, (first, *others) in _PARTS.items():
        for name in tensors:
            matrix, dot, part = name.rpartition(".")
            if dot and part == first:
                parts = {each: tensors[f"{matrix}.{each}"] for each in (first, *others)}
                found[matrix] = QUANTISED[precision](**parts)
    return found


def precision_of(matrix: Weight, words: Tensor) -> Precision:
    """Return the precision of a backbone, by a matrix of a block, or of floats by its word embeddings."""
    if isinstance(matrix, QuantisedMatrix):
        return matrix.precision
    return "bf16" if words.element_size() == 2 else "fp32"
