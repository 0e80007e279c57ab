"""In which precision frozen weights are multiplied: as they are kept, or as float32 where bfloat16 is no faster.

Processors without instructions for it emulate products of bfloat16, several times more slowly than they multiply
float32. Intel's since Sapphire Rapids have them in matrix units (AMX); where these are switched off, as in many virtual
machines, the vector instruction that is left takes twice as long as float32's (Emerald Rapids, one core: 80 GFLOPS
against 155).
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from fedlab.models.quantised.named_weights import is_part


def bfloat16_is_faster(device: str) -> bool:
    """Tell whether a device multiplies bfloat16 faster than float32; a torch too old to say counts as not."""
    if torch.device(device).type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    if capabilities.get("amx_bf16", False) or capabilities.get("bf16", False):  # "bf16" is Arm's
        return True
    is_slow = str(capabilities.get("cpu_name", "")).startswith("Intel") and capabilities.get("avx512_fp16", False)
    return bool(capabilities.get("avx512_bf16", False) and not is_slow)


def computed_with(tensors: Mapping[str, Tensor], *, tied: bool = False) -> dict[str, Tensor]:
    """Return the floats that states are multiplied with: all but the word embeddings, which are looked up.

    The parts of quantised matrices are not among them: these are multiplied in their own way. Where the head over the
    vocabulary is `tied` to the word embeddings, they are also among them, as `lm_head`.
    """
    found = {name: tensor for name, tensor in tensors.items() if name != "words" and not is_part(name)}
    return found | {"lm_head": tensors["words"]} if tied else found


def widened(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return float32 copies of the weights that are computed with."""
    return {name: tensor.float() for name, tensor in computed_with(tensors).items()}
