"""In which precision frozen weights are multiplied: as they are kept, or as float32 where bfloat16 has no instructions.

Processors without them emulate products of bfloat16, several times more slowly than they multiply float32.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16")  # of x86, and the last of Arm


def multiplies_bfloat16(device: str) -> bool:
    """Tell whether a device has instructions for products of bfloat16; a torch too old to say counts as without."""
    if torch.device(device).type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name, False) for name in _INSTRUCTIONS)


def widened(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return float32 copies of the weights that are computed with: all but the word embeddings, which are looked up."""
    return {name: tensor.float() for name, tensor in tensors.items() if name != "words"}
