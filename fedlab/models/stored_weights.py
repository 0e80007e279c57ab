"""The weights of a backbone as files: written tensor by tensor, so that no more than one of them is in memory at once.

The files are safetensors (https://github.com/huggingface/safetensors): eight bytes with the length of a header, the
header as JSON (name, format, shape and place of each tensor), and the numbers. Whoever reads one maps it into memory.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

PRECISIONS: Mapping[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}
_FORMATS = {torch.float32: "F32", torch.bfloat16: "BF16"}
_ALIGNMENT = 8  # of the numbers, which begin behind the header


@dataclass(frozen=True, kw_only=True)
class StoredWeights:
    """What a backbone is made of, as it lies in the model or the files that it comes from.

    Each tensor of `Backbone.tensors` is one or more parts, joined along their first dimension; `facts` is all the rest.
    """

    parts: Mapping[str, Sequence[Tensor]]
    facts: Mapping[str, Any]

    def tensors(self, precision: str) -> dict[str, Tensor]:
        """Return the tensors in a precision (fp32, bf16); one that is in it already is not copied."""
        return {name: joined(parts, PRECISIONS[precision]) for name, parts in self.parts.items()}

    def write(self, path: Path, precision: str) -> None:
        """Write the tensors in a precision to a file."""
        write_tensors(path, self.parts, PRECISIONS[precision])


def joined(parts: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """Return parts as one tensor of a type, contiguous."""
    whole = torch.cat(list(parts)) if len(parts) > 1 else parts[0]
    return whole.detach().to(dtype).contiguous()


def write_tensors(path: Path, parts: Mapping[str, Sequence[Tensor]], dtype: torch.dtype) -> None:
    """Write tensors, each of which is one or more parts, in a type to a file; one after the other is joined.

    The bytes are those that the library of the format writes: where numbers lie in memory decides on the last digit of
    products, and so of results.
    """
    header, end = dict[str, Any](), 0
    for name, each in sorted(parts.items()):
        shape = [sum(len(part) for part in each), *each[0].shape[1:]]
        start, end = end, end + math.prod(shape) * dtype.itemsize
        header[name] = {"dtype": _FORMATS[dtype], "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, each in sorted(parts.items()):
            file.write(joined(each, dtype).flatten().view(torch.uint8).numpy().data)
