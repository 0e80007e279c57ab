"""Trained adapters and their head in the saved form of the adapters library (1.3), written without importing it.

Importing the library takes many seconds, at the end of every run. The tests compare what is written here with what the
library saves of the same model, file by file, and open it with the library.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fedlab.models.families import AdapterPlaces, family_of
from fedlab.models.peft.bottleneck import Bottleneck, adapted_blocks, adapter_names

NAME = "fedlab"

_VERSION = "adapters.1.3.0"
_PARAMETERS = ("adapter_down.0.weight", "adapter_down.0.bias", "adapter_up.weight", "adapter_up.bias")
# The library's settings of a sequential bottleneck (Pfeiffer et al. 2021): one adapter behind the feed-forward part.
_SEQUENTIAL_BOTTLENECK: Mapping[str, Any] = {
    "adapter_residual_before_ln": False,
    "cross_adapter": False,
    "dropout": 0.0,
    "factorized_phm_W": True,
    "factorized_phm_rule": False,
    "hypercomplex_nonlinearity": "glorot-uniform",
    "init_weights": "bert",
    "init_weights_seed": None,
    "inv_adapter": None,
    "inv_adapter_reduction_factor": None,
    "is_parallel": False,
    "learn_phm": True,
    "ln_after": False,
    "ln_before": False,
    "mh_adapter": False,
    "non_linearity": "relu",
    "original_ln_after": True,
    "original_ln_before": True,
    "output_adapter": True,
    "phm_bias": True,
    "phm_c_init": "normal",
    "phm_dim": 4,
    "phm_init_range": 0.0001,
    "phm_layer": False,
    "phm_rank": 1,
    "residual_before_ln": True,
    "scaling": 1.0,
    "shared_W_phm": False,
    "shared_phm_rule": True,
    "stochastic_depth": 0.0,
    "use_gating": False,
}


def save_adapter(
    arrays: Mapping[str, np.ndarray],
    config: Bottleneck,
    folder: Path,
    *,
    model_type: str,
    blocks: int,
    kind: str,
    label_names: Sequence[str],
    pooling: str,
) -> bool:
    """Save adapters and head so that the library's `model.load_adapter(folder)` opens them; both are called `fedlab`.

    `config` is the set that the arrays are of, `model_type` transformers' name of the backbone, `blocks` how many it
    has. Returns False, and saves nothing, if the library has no adapters for such a backbone.
    """
    places = family_of(model_type, "the backbone").adapter_places.get(model_type)
    if places is None:
        return False
    hidden = arrays["head.weight"].shape[1]
    model = {
        "hidden_size": hidden, "model_class": places.model_class, "model_name": "", "model_type": model_type,
        "name": NAME, "version": _VERSION,
    }  # fmt: skip
    # The library divides by the factor and rounds down: the half keeps the rounding on the right side.
    setting = {"reduction_factor": hidden / (config.width + 0.5), "leave_out": list(range(blocks - config.depth))}
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "adapter_config.json", {"config": {**_SEQUENTIAL_BOTTLENECK, **setting}, **model})
    _write(folder / "head_config.json", {"config": _head(kind, label_names, pooling), **model})
    torch.save(_adapters(arrays, adapted_blocks(config, blocks), places), folder / "pytorch_adapter.bin")
    bias = arrays.get("head.bias", np.zeros(len(label_names), np.float32))  # a decoder's head has none
    head = {"weight": _tensor(arrays["head.weight"]), "bias": _tensor(bias)}
    torch.save({f"heads.{NAME}.1.{part}": it for part, it in head.items()}, folder / "pytorch_model_head.bin")
    return True


def _adapters(
    arrays: Mapping[str, np.ndarray], blocks: Sequence[int], places: AdapterPlaces
) -> dict[str, torch.Tensor]:
    return {
        f"{places.block.format(block)}.{places.adapters}.{NAME}.{theirs}": _tensor(arrays[ours])
        for block in blocks
        for ours, theirs in zip(adapter_names(block), _PARAMETERS, strict=True)
    }


def _head(kind: str, label_names: Sequence[str], pooling: str) -> dict[str, Any]:
    head = {
        "activation_function": "tanh", "dropout_prob": None, "head_type": kind, "layers": 1,
        "label2id": {name: number for number, name in enumerate(label_names)}, "num_labels": len(label_names),
    }  # fmt: skip
    return head if kind == "tagging" else head | {"bias": True, "use_pooler": pooling == "pooler"}


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def _write(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True), encoding="utf-8")
