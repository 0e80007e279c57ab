"""LoRA in the form of the library PEFT (https://github.com/huggingface/peft): two files, which it opens without fedlab.

PEFT itself is not needed. Pairs are named after the modules of transformers' model that they are beside. The head is
saved with them as a module that was trained whole.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from fedlab.common.arrays import Arrays
from fedlab.common.files import check_regular
from fedlab.common.short_text import raised, short
from fedlab.errors import UserError
from fedlab.models.families import BackboneFamily, families, family_of
from fedlab.models.peft.base import ModelSizes
from fedlab.models.peft.head import HEAD_WEIGHT
from fedlab.models.peft.lora import ROLES, Lora, pair_names
from fedlab.models.peft.whole_blocks import shared_blocks

CONFIG, WEIGHTS, LABELS = "adapter_config.json", "adapter_model.safetensors", "labels.json"
_OUTSIDE = "base_model.model."  # what PEFT puts before the names of the model that it wraps
_TASKS: Mapping[str, str] = {"classification": "SEQ_CLS", "tagging": "TOKEN_CLS"}
_OTHER_TASK = "CAUSAL_LM"
# Options of PEFT's LoRA that change what is computed, and the values with which it is as here.
_PLAIN: Mapping[str, tuple[object, ...]] = {
    "use_dora": (False, None),
    "use_rslora": (False, None),
    "fan_in_fan_out": (False, None),
    "bias": ("none", None),
    "lora_bias": (False, None),
    "rank_pattern": ({}, None),
    "alpha_pattern": ({}, None),
}


def save_lora(
    arrays: Mapping[str, np.ndarray],
    trained: Lora,
    folder: Path,
    *,
    model: Any,
    head: Mapping[str, np.ndarray],
    kind: str,
    label_names: Sequence[str],
) -> None:
    """Save pairs and head so that `PeftModel.from_pretrained` opens them on transformers' model for the task.

    `model` is the transformers model whose blocks the pairs are in, `head` the parameters of its head by transformers'
    names. Without pairs, a pair that adds nothing is saved, as PEFT opens no adapter without any.
    """
    family = family_of(model.config.model_type, "the model")
    blocks, prefix = int(model.config.num_hidden_layers), model.base_model_prefix
    pairs, targets = dict[str, np.ndarray](), list[str]()
    for block, modules in _places(family, max(1, trained.depth), blocks):
        for role in trained.roles:
            module = f"{prefix}.{modules[role]}"
            targets.append(module)
            pairs |= _pair(arrays, trained, block, role, model.get_submodule(_within(model, module)), module)
    kept = sorted({_saved_module(name) for name in head})
    config = {
        "peft_type": "LORA",
        "task_type": _TASKS.get(kind, _OTHER_TASK),
        "base_model_name_or_path": model.config.name_or_path or None,
        "r": trained.rank,
        "lora_alpha": trained.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": targets,
        "modules_to_save": kept or None,
        "inference_mode": True,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (folder / LABELS).write_text(json.dumps(list(label_names)) + "\n", encoding="utf-8")
    save_file(pairs | {_OUTSIDE + name: np.ascontiguousarray(array) for name, array in head.items()}, folder / WEIGHTS)


def read_lora(folder: Path, sizes: ModelSizes, place: str) -> tuple[Lora, Arrays]:
    """Read pairs that PEFT saved: the set they are of, and its arrays; `place` begins the message of an error.

    Of the head, the one of a decoder's classifier is among them if it is of as many labels. A block or target that has
    no pair, though others have, is not among the arrays.

    Raises:
        UserError: there is no such adapter, it is no LoRA, or is not for this backbone.
    """
    config, tensors = _files(folder, place)
    family, blocks = families()[sizes.transformer.shape.family], sizes.blocks
    places = _places(family, blocks, blocks)
    modules = {name: (block, role) for block, names in places for role, name in names.items()}
    arrays, found = Arrays(), set[tuple[int | str, str]]()
    for name, tensor in tensors.items():
        inner = name.removeprefix(_OUTSIDE)
        if inner == "score.weight" and tensor.shape == (sizes.labels, sizes.hidden):
            arrays[HEAD_WEIGHT] = tensor.astype(np.float32)
        if ".lora_" not in inner:
            continue
        module, _, which = inner.partition(".lora_")
        at = next((modules[each] for each in (module, module.partition(".")[2]) if each in modules), None)
        if at is None or which not in ("A.weight", "B.weight"):
            raise UserError(
                f"{place}: {folder} has a pair for '{short(inner, 120)}', which is no matrix of a block here"
            )
        found.add(at)
        arrays[pair_names(*at)[which == "B.weight"]] = tensor.astype(np.float32)
    if not found:
        raise UserError(f"{place}: {folder / WEIGHTS} has no pairs of LoRA")
    roles = {role for _, role in found}
    trained = Lora(
        depth=blocks if family.shares_blocks else blocks - min(int(block) for block, _ in found),
        rank=config["r"],
        alpha=config["lora_alpha"],
        targets=",".join(role for role in ROLES if role in roles),
    )
    _check_shapes(arrays, trained, sizes, f"{place}: {folder}")
    return trained, arrays


def _places(family: BackboneFamily, depth: int, blocks: int) -> list[tuple[int | str, Mapping[str, str]]]:
    """Return what arrays call the top `depth` blocks, each with the names of its matrices in transformers' model."""
    if family.shares_blocks:
        return [(shared_blocks(blocks), family.module_names(0))]
    return [(block, family.module_names(block)) for block in range(blocks - depth, blocks)]


def _pair(
    arrays: Mapping[str, np.ndarray], trained: Lora, block: int | str, role: str, linear: Any, module: str
) -> dict[str, np.ndarray]:
    first, second = pair_names(block, role)
    outputs, inputs = linear.weight.shape
    nothing = {
        first: np.zeros((trained.rank, inputs), np.float32),
        second: np.zeros((outputs, trained.rank), np.float32),
    }
    held = {name: arrays.get(name, nothing[name]) for name in (first, second)}
    return {f"{_OUTSIDE}{module}.lora_A.weight": held[first], f"{_OUTSIDE}{module}.lora_B.weight": held[second]}


def _within(model: Any, module: str) -> str:
    """Return a module's name as the model at hand has it, which may be one without a head, and so without a prefix."""
    return module if hasattr(model, model.base_model_prefix) else module.partition(".")[2]


def _saved_module(parameter: str) -> str:
    """Return the module that PEFT saves a head's parameter with; it knows heads of classifiers by these two names."""
    first = parameter.partition(".")[0]
    return first if first in ("classifier", "score") else parameter.rpartition(".")[0]


def _files(folder: Path, place: str) -> tuple[Mapping[str, Any], Mapping[str, np.ndarray]]:
    for name in (CONFIG, WEIGHTS):
        check_regular(folder / name)
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        tensors = load_file(folder / WEIGHTS)
    except FileNotFoundError as error:
        raise UserError(
            f"{place}: {folder} has no {CONFIG} and {WEIGHTS}; accepted: a folder that PEFT has saved a LoRA to"
        ) from error
    except (OSError, ValueError, RecursionError, SafetensorError) as error:
        raise UserError(f"{place}: {folder} cannot be read: {raised(error)}") from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        kind = config.get("peft_type") if isinstance(config, dict) else None
        raise UserError(f"{place}: {folder / CONFIG}: peft_type is {short(kind)}; accepted: LORA")
    for key, accepted in _PLAIN.items():
        if config.get(key) not in accepted:
            raise UserError(
                f"{place}: {folder / CONFIG}: {key} is {short(config[key])}; accepted: {short(accepted[0])}"
            )
    for key in ("r", "lora_alpha"):
        if type(config.get(key)) is not int or config[key] < 1:
            raise UserError(f"{place}: {folder / CONFIG}: {key} is {short(config.get(key))}, expected a whole number")
    return config, tensors


def _check_shapes(arrays: Arrays, trained: Lora, sizes: ModelSizes, place: str) -> None:
    expected = trained.shapes(sizes)
    for name, array in arrays.items():
        if array.shape != expected[name]:
            raise UserError(f"{place}: '{name}' is of {array.shape}, and this backbone takes {expected[name]}")
        if not np.isfinite(array).all():
            raise UserError(f"{place}: '{name}' has values that are not finite")
