"""Bundles: the data and the frozen model of an experiment, prepared once a machine and opened by many processes.

Preparing loads the pretrained encoder and tokenises the text, or decodes images, which takes the heavy libraries. A
network for images has no weights before its first model is drawn. Preparing leaves a folder of
plain arrays, the bundle, that any process maps into memory: the weights and the tokens lie in memory once.
"""

import atexit
import functools
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from fedlab.common.cache_folder import publish
from fedlab.common.machine import activation_room_bytes
from fedlab.common.prepared_cache import cache_folder, use_cache
from fedlab.common.scratch import lasting_scratch_folder
from fedlab.common.spans import span
from fedlab.config.schema import BackboneTable, Experiment, TaskTable
from fedlab.config.task_table import OF_TEXTS
from fedlab.data.load import TASK_LAYOUT, load_task, texts_for_vocabulary
from fedlab.data.location import fingerprint
from fedlab.data.own_data import load_own, undivided, with_own_data
from fedlab.data.task import Task, read_task, write_task
from fedlab.errors import UserError
from fedlab.models.cnn.network import ConvBackbone, ConvNetwork
from fedlab.models.cnn.sizes import conv_sizes
from fedlab.models.load import (
    Pretrained,
    encoder_from_tensors,
    load_pretrained,
    sizes_of,
    source_key,
    stored_weights,
)
from fedlab.models.precision import bfloat16_is_faster, computed_with
from fedlab.models.split import Network
from fedlab.models.split_model import SplitModel
from fedlab.models.stored_weights import StoredWeights, write_tensors
from fedlab.training.activation_store import ActivationStore
from fedlab.training.workbench import Opener, Workbench

_WEIGHTS = "encoder.safetensors"
_TOKENIZER = "tokenizer.json"
_FORMAT = 2  # part of a bundle's key, and so of its states': raise it when the same encoder is to give others


@dataclass(frozen=True, kw_only=True)
class PreparedBundle:
    """Where a process finds a bundle, and where it stores the states that it computes from it.

    The files of states begin with `prefix`; their room is `room_bytes`, by default what the machine has for it.
    `device` is where the process computes.
    """

    folder: Path
    activations: Path
    prefix: str = ""
    room_bytes: int | None = None
    device: str = "cpu"

    def open(self) -> Workbench:
        """Open the bundle and its stored states."""
        room = activation_room_bytes(self.activations) if self.room_bytes is None else self.room_bytes
        store = ActivationStore(folder=self.activations, budget_bytes=room, prefix=self.prefix)
        return open_bundle(self.folder, store, device=self.device)

    def opener(self) -> Opener:
        """Return a function that opens the bundle when it is first called, and returns the same workbench each time."""

        @functools.cache
        def opened() -> Workbench:
            with span("load"):
                return self.open()

        return opened


def pretrained_of(experiment: Experiment) -> Pretrained:
    """Load the transformers model and the tokenizer an experiment names."""
    return load_pretrained(
        experiment.backbone,
        seed=experiment.seed,
        resolve=experiment.path,
        texts=lambda: texts_for_vocabulary(experiment.task, experiment.path),
    )


def bundle_for(experiment: Experiment, scratch: Path, load: Callable[..., Task] = load_task) -> Path:
    """Return the bundle of an experiment, its task loaded by `load`, from the cache if it was prepared before.

    A bundle is made in `scratch` and not kept if its data come from a user's function, which may change unseen.

    Raises:
        UserError: the data or the encoder cannot be loaded, or the cache cannot be written to.
    """
    state = fingerprint(experiment.task, experiment.path)
    if state is None:
        folder = scratch / "bundle"
        folder.mkdir(parents=True, exist_ok=True)
        _prepare(experiment, folder, load)
        return folder
    encoder = source_key(experiment.backbone, experiment.seed, experiment.path)
    task = experiment.task.model_dump(mode="json")
    parts = [_FORMAT, TASK_LAYOUT, task, experiment.base_folder, experiment.seed, state, encoder, load.__qualname__]
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    folder = cache_folder() / "bundles" / key
    if folder.exists() and not _is_whole(folder):  # the cache was cleaned, but not all of it
        shutil.rmtree(folder, ignore_errors=True)
    use_cache(cache_folder())
    try:
        publish(folder, lambda empty: _prepare(experiment, empty, load))
        with suppress(OSError):  # of a cache that others have filled, and that can only be read
            os.utime(folder)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{cache_folder()}: {_why(error)}; FEDLAB_CACHE sets another folder for the cache") from error
    return folder


def _why(error: Exception) -> str:
    reason = getattr(error, "strerror", None) or str(error)
    return f"the cache cannot be written to: {reason}"


def _is_whole(folder: Path) -> bool:
    """Tell whether a bundle and what it refers to are there."""
    try:
        about = json.loads((folder / "about.json").read_text())
        read_task(folder, _place(folder, about, "tokens"))
        return _place(folder, about, "encoder").is_file()
    except (OSError, ValueError, LookupError):
        return False


def open_bundle(folder: Path, activations: ActivationStore, *, device: str = "cpu") -> Workbench:
    """Open a prepared bundle, its weights on a device; there, arrays of the processor are mapped, not read."""
    about = json.loads((folder / "about.json").read_text())
    task = read_task(folder, _place(folder, about, "tokens"))
    return Workbench(
        network=_conv_network(task, about["sizes"], device) if task.images else _network(folder, about, task, device),
        task=task,
        seed=about["seed"],
        activations=activations,
        tokenizer_file=folder / _TOKENIZER if task.language is not None else None,
    )


def _network(folder: Path, about: Mapping[str, Any], task: Task, device: str) -> SplitModel:
    weights = _weights(_place(folder, about, "encoder"), device, about["sizes"])
    encoder = encoder_from_tensors(weights, about["sizes"])
    return Network(encoder=encoder, kind=task.kind, pooling=about["pooling"])


def _conv_network(task: Task, facts: Mapping[str, Any], device: str) -> SplitModel:
    """Return the network of `_conv_weights` for the images and labels of a task."""
    assert task.images is not None, "it is of images"
    channels, height, width = task.train.input_shape
    table, base = BackboneTable(name=facts["name"]), Path(facts["base"])
    sizes = conv_sizes(table, (channels, height, width), len(task.label_names), base=base)
    return ConvNetwork(encoder=ConvBackbone(sizes=sizes, device=torch.device(device)), scaling=task.images.scaling)


def _weights(path: Path, device: str, sizes: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return a backbone's weights as they are computed with; wider copies are made once a machine and mapped, too."""
    tensors: dict[str, Tensor] = load_file(path, device=device)
    if tensors["words"].dtype == torch.float32 or bfloat16_is_faster(device):
        return tensors
    wide = {name: [tensor] for name, tensor in computed_with(tensors, tied=sizes.get("tied", False)).items()}
    folder = publish(
        path.with_name(f"{path.name}-float32"),
        lambda empty: write_tensors(empty / _WEIGHTS, wide, torch.float32),
        needs=[_WEIGHTS],
    )
    tensors |= load_file(folder / _WEIGHTS, device=device)
    return tensors


def bundle_files(folder: Path) -> dict[str, Path]:
    """Return all files a bundle is made of, by the names they have in a copy that stands alone."""
    about, task = (json.loads((folder / name).read_text()) for name in ("about.json", "task.json"))
    files = {path.name: path for path in folder.iterdir()}
    files["encoder"] = Path(about["encoder"])
    for digest in task["tokens"].values():
        files |= {f"tokens/{digest}/{path.name}": path for path in (Path(about["tokens"]) / digest).iterdir()}
    return files


def _place(folder: Path, about: Mapping[str, Any], part: str) -> Path:
    """Return where a part of a bundle lies: in the bundle, if that stands alone, else in the cache."""
    own = folder / part
    return own if own.exists() else Path(about[part])


def prepare_workbench(experiment: Experiment, *, own_data: Path | None = None, state: Path | None = None) -> Workbench:
    """Prepare an experiment in this process and open it; a node with data of its own (`own_data`) holds all of them.

    States are stored below `state`, where later processes find them; without it they last as long as this process.

    Raises:
        UserError: the data or the encoder cannot be loaded.
    """
    with span("prepare"):
        scratch = lasting_scratch_folder(atexit.register)
        load = load_task if own_data is None else load_own
        bundle = bundle_for(experiment if own_data is None else with_own_data(experiment, own_data), scratch, load)
        lasts = state is not None and scratch not in bundle.parents
        place = PreparedBundle(
            folder=bundle,
            activations=(state if state is not None and lasts else scratch) / "activations",
            prefix=f"{bundle.name}-" if lasts else "",
        )
        workbench = place.open()
    return workbench if own_data is None else replace(workbench, task=undivided(workbench.task))


def _check_language(task: TaskTable, weights: StoredWeights, positions: int) -> None:
    """Raise a UserError if a backbone cannot say the tokens of a language task, or has no room to."""
    if not task.is_language:
        return
    if not weights.facts.get("tied") and "lm_head" not in weights.parts:
        raise UserError(
            f"task.kind = '{task.kind}': this {weights.facts['shape']['family']} has no head over its vocabulary;"
            " accepted: a decoder (llama, mistral, qwen2) with its head"
        )
    if task.scored_by in OF_TEXTS and task.max_length + task.new_tokens > positions:
        raise UserError(
            f"task.max_length = {task.max_length} and task.new_tokens = {task.new_tokens}: a prompt with what follows"
            f" may have {positions} tokens, the context of this model"
        )


def _check_fit(experiment: Experiment, weights: StoredWeights, positions: int) -> None:
    longest = experiment.task.max_length
    if longest > positions:
        raise UserError(f"task.max_length = {longest}: the encoder has {positions} positions")
    if experiment.backbone.pooling == "pooler" and "pooler_weight" not in weights.parts:
        raise UserError("backbone.pooling = 'pooler': the encoder has none; accepted: cls")


def _pretrained_weights(experiment: Experiment) -> tuple[StoredWeights, Any]:
    """Return the weights that an experiment's texts are read with, and the tokenizer."""
    pretrained = pretrained_of(experiment)
    stored = stored_weights(pretrained.model)
    positions = sizes_of(pretrained.model).positions
    _check_language(experiment.task, stored, positions)
    _check_fit(experiment, stored, positions)
    return stored, pretrained.tokenizer


def _conv_weights(experiment: Experiment) -> tuple[StoredWeights, Any]:
    """Return no weights, with what the network is called and found from, and no tokenizer."""
    base = str(Path(experiment.base_folder).absolute())
    return StoredWeights(parts={}, facts={"name": experiment.backbone.name, "base": base}), None


def _prepare(experiment: Experiment, folder: Path, load: Callable[..., Task]) -> None:
    images = experiment.task.kind == "image"
    stored, tokenizer = _conv_weights(experiment) if images else _pretrained_weights(experiment)
    task = load(
        experiment.task,
        tokenizer=tokenizer,
        seed=experiment.seed,
        cache_folder=cache_folder(),
        resolve=experiment.path,
    )
    key = source_key(experiment.backbone, experiment.seed, experiment.path)
    weights, precision = cache_folder() / "encoders" / key, experiment.backbone.precision
    publish(weights, lambda empty: stored.write(empty / _WEIGHTS, precision), needs=[_WEIGHTS])
    write_task(task, folder)
    if task.language is not None:
        tokenizer.backend_tokenizer.save(str(folder / _TOKENIZER))
    about = {
        "encoder": str(weights / _WEIGHTS),
        "sizes": stored.facts,
        "pooling": experiment.backbone.pooling,
        "seed": experiment.seed,
        "tokens": str(cache_folder() / "tokens"),
    }
    if task.images is not None:
        _conv_network(task, stored.facts, "cpu")  # an error here is before any training
    (folder / "about.json").write_text(json.dumps(about))
