"""The weights of a backbone as files: written tensor by tensor, so that no more than one of them is in memory at once.

The files are safetensors (https://github.com/huggingface/safetensors): eight bytes with the length of a header, the
header as JSON (name, format, shape and place of each tensor), and the numbers. Whoever reads one maps it into memory.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fedlab.models.quantised.base import QuantisedMatrix, Weight
from fedlab.models.quantised.named_weights import QUANTISED, is_quantised_in, parts_of

# The type of all that is not a quantised matrix, by precision.
PRECISIONS: Mapping[str, torch.dtype] = {
    "fp32": torch.float32, "bf16": torch.bfloat16, "int8": torch.float32, "int4": torch.bfloat16,
}  # fmt: skip
_FORMATS = {torch.float32: "F32", torch.bfloat16: "BF16", torch.int8: "I8", torch.uint8: "U8"}
_ALIGNMENT = 8  # of the numbers, which begin behind the header


@dataclass(frozen=True, kw_only=True)
class StoredWeights:
    """What a backbone is made of, as it lies in the model or the files that it comes from.

    Each tensor of `Backbone.tensors` is one or more parts, joined along their first dimension; `facts` is all the rest.
    """

    parts: Mapping[str, Sequence[Tensor]]
    facts: Mapping[str, Any]

    def tensors(self, precision: str) -> dict[str, Weight]:
        """Return the weights in a precision (fp32, bf16, int8, int4); one that is in it already is not copied."""
        return {
            name: _quantised(parts, precision)
            if is_quantised_in(precision, name, parts[0].dim())
            else joined(parts, PRECISIONS[precision])
            for name, parts in self.parts.items()
        }

    def write(self, path: Path, precision: str) -> None:
        """Write the tensors in a precision to a file."""
        entries: dict[str, _Entry] = {}
        for name, parts in self.parts.items():
            if is_quantised_in(precision, name, parts[0].dim()):
                entries |= _entries_of(name, parts, precision)
            else:
                entries[name] = _entry(parts, PRECISIONS[precision])
        _write(path, entries)


def joined(parts: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """Return parts as one tensor of a type, contiguous."""
    whole = torch.cat(list(parts)) if len(parts) > 1 else parts[0]
    return whole.detach().to(dtype).contiguous()


def write_tensors(path: Path, parts: Mapping[str, Sequence[Tensor]], dtype: torch.dtype) -> None:
    """Write tensors, each of which is one or more parts, in a type to a file; one after the other is joined."""
    _write(path, {name: _entry(each, dtype) for name, each in parts.items()})


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """A tensor of a file: its type and shape, and what makes it when it is written."""

    dtype: torch.dtype
    shape: Sequence[int]
    made: Callable[[], Tensor]


def _entry(parts: Sequence[Tensor], dtype: torch.dtype) -> _Entry:
    return _Entry(dtype=dtype, shape=_shape(parts), made=partial(joined, parts, dtype))


def _entries_of(name: str, parts: Sequence[Tensor], precision: str) -> dict[str, _Entry]:
    """Return the parts of a matrix that is quantised for each of them, so that it is not kept."""
    outlines = parts_of(name, QUANTISED[precision].of(torch.empty(_shape(parts), device="meta")))

    def made(part: str) -> Tensor:
        return parts_of(name, _quantised(parts, precision))[part]

    return {
        part: _Entry(dtype=outline.dtype, shape=list(outline.shape), made=partial(made, part))
        for part, outline in outlines.items()
    }


def _quantised(parts: Sequence[Tensor], precision: str) -> QuantisedMatrix:
    return QUANTISED[precision].of(joined(parts, torch.float32))


def _shape(parts: Sequence[Tensor]) -> list[int]:
    return [sum(len(part) for part in parts), *parts[0].shape[1:]]


def _write(path: Path, entries: Mapping[str, _Entry]) -> None:
    """Write a file.

    The bytes are those that the library of the format writes, larger types first, so that all numbers are aligned:
    where numbers lie in memory decides on the last digit of products, and so of results.
    """
    header, end = dict[str, Any](), 0
    ordered = sorted(entries.items(), key=lambda named: (-named[1].dtype.itemsize, named[0]))
    for name, entry in ordered:
        start, end = end, end + math.prod(entry.shape) * entry.dtype.itemsize
        header[name] = {"dtype": _FORMATS[entry.dtype], "shape": entry.shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, entry in ordered:
            file.write(entry.made().contiguous().flatten().view(torch.uint8).numpy().data)
