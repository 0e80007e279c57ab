"""What a process needs to train and measure, prepared once a machine and opened by many processes.

Preparing loads the pretrained encoder and tokenises the text, which takes the heavy libraries. It leaves a folder of
plain arrays, the bundle, that any process maps into memory: the weights and the tokens lie in memory once.
"""

import atexit
import functools
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from fedlab.common.arrays import Arrays
from fedlab.common.cache_folder import publish
from fedlab.common.machine import activation_room_bytes
from fedlab.common.spans import span
from fedlab.config.file import experiment_of_run
from fedlab.config.schema import Experiment
from fedlab.data.load import TASK_LAYOUT, load_task, texts_for_vocabulary
from fedlab.data.location import fingerprint
from fedlab.data.own_data import load_own, undivided, with_own_data
from fedlab.data.task import Partitions, Task, read_task, write_task
from fedlab.data.tokens import TokenSet
from fedlab.errors import UserError
from fedlab.models.load import (
    Pretrained,
    encoder_from_tensors,
    encoder_of,
    encoder_sizes,
    encoder_tensors,
    load_pretrained,
    source_key,
)
from fedlab.models.peft.base import TrainableSet
from fedlab.models.peft.bottleneck import Bottleneck
from fedlab.models.peft.head import Head
from fedlab.models.peft.whole_blocks import Everything, TopBlocks
from fedlab.models.precision import bfloat16_is_faster, widened
from fedlab.models.split import Network
from fedlab.models.transformer.bert import Encoder
from fedlab.models.transformer.named_weights import weights_of
from fedlab.training.activation_store import ActivationStore

_FORMAT = 2  # part of a bundle's key, and so of its states': raise it when the same encoder is to give others
Split = Literal["train", "validation", "test"]


@dataclass(frozen=True, kw_only=True)
class Workbench:
    """The model, the tokenised text, its split over the clients, and the states computed so far."""

    network: Network
    task: Task
    seed: int
    activations: ActivationStore

    @property
    def partitions(self) -> Partitions:
        """Return which training examples each client has."""
        return self.task.partitions

    @property
    def label_names(self) -> tuple[str, ...]:
        """Return the labels by their ids."""
        return self.task.label_names

    def tokens(self, split: Split) -> TokenSet:
        """Return the tokens of a split."""
        found: TokenSet = getattr(self.task, split)
        return found


def cache_folder() -> Path:
    """Return where prepared data is kept: `$FEDLAB_CACHE`, or the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "fedlab"
    return Path(os.environ.get("FEDLAB_CACHE", default))


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
        UserError: the data or the encoder cannot be loaded.
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
    if not folder.exists():
        publish(folder, lambda empty: _prepare(experiment, empty, load))
    return folder


def open_bundle(folder: Path, activations: ActivationStore, *, device: str = "cpu") -> Workbench:
    """Open a prepared bundle, its weights on a device; there, arrays of the processor are mapped, not read."""
    about = json.loads((folder / "about.json").read_text())
    encoder = encoder_from_tensors(_weights(_place(folder, about, "encoder"), device), about["sizes"])
    task = read_task(folder, _place(folder, about, "tokens"))
    return Workbench(
        network=Network(encoder=encoder, kind=task.kind, pooling=about["pooling"]),
        task=task,
        seed=about["seed"],
        activations=activations,
    )


def _weights(path: Path, device: str) -> dict[str, Tensor]:
    """Return an encoder's weights as they are computed with; wider copies are made once a machine and mapped, too."""
    tensors: dict[str, Tensor] = load_file(path, device=device)
    if tensors["words"].dtype == torch.float32 or bfloat16_is_faster(device):
        return tensors
    name = "encoder.safetensors"
    wide = publish(path.with_name(f"{path.name}-float32"), lambda empty: save_file(widened(tensors), empty / name))
    tensors |= load_file(wide / name, device=device)
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


def open_workbench(run_config: Mapping[str, Any], node_config: Mapping[str, Any]) -> Workbench:
    """Open the workbench of a node; a process opens each once.

    A node that was handed a prepared bundle names it: `bundle` is its folder, `activations` that of stored states,
    `activation-prefix` what their files' names begin with there, `activation-bytes` their room if it is given, `device`
    where it computes. Any other prepares the experiment its
    run's configuration names, for as many clients as there are, or with the data of its own at `data-path`. States are
    kept from process to process below `state-path`, if it has one.
    """
    if "bundle" in node_config:
        given = (node_config["bundle"], node_config["activations"], node_config["activation-bytes"])
        prefix, device = str(node_config.get("activation-prefix", "")), str(node_config.get("device", "cpu"))
        return _open_once(*map(str, given), prefix, device)
    own, state = (str(node_config.get(key, "")) for key in ("data-path", "state-path"))
    experiment = experiment_of_run(run_config, clients=1 if own else int(node_config["num-partitions"]))
    with span("prepare"):
        return _prepare_once(experiment.model_dump_json(), own, state)


@functools.lru_cache(maxsize=2)
def _open_once(bundle: str, activations: str, room: str, prefix: str, device: str) -> Workbench:
    folder = Path(activations)
    store = ActivationStore(folder=folder, budget_bytes=int(room or activation_room_bytes(folder)), prefix=prefix)
    with span("load"):
        return open_bundle(Path(bundle), store, device=device)


@functools.lru_cache(maxsize=2)
def _prepare_once(experiment_json: str, own_data: str, state: str) -> Workbench:
    scratch = Path(tempfile.mkdtemp(prefix="fedlab-"))
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    experiment = Experiment.model_validate_json(experiment_json)
    load = load_own if own_data else load_task
    bundle = bundle_for(with_own_data(experiment, Path(own_data)) if own_data else experiment, scratch, load)
    lasts = state and scratch not in bundle.parents
    folder = Path(state) / "activations" if lasts else scratch / "activations"
    room, prefix = activation_room_bytes(folder), f"{bundle.name}-" if lasts else ""
    workbench = open_bundle(bundle, ActivationStore(folder=folder, budget_bytes=room, prefix=prefix))
    return replace(workbench, task=undivided(workbench.task)) if own_data else workbench


def _check_fit(experiment: Experiment, encoder: Encoder) -> None:
    longest, positions = experiment.task.max_length, len(encoder.positions)
    if longest > positions:
        raise UserError(f"task.max_length = {longest}: the encoder has {positions} positions")
    if experiment.backbone.pooling == "pooler" and encoder.pooler_weight is None:
        raise UserError("backbone.pooling = 'pooler': the encoder has none; accepted: cls")


def _prepare(experiment: Experiment, folder: Path, load: Callable[..., Task]) -> None:
    pretrained = pretrained_of(experiment)
    task = load(
        experiment.task,
        tokenizer=pretrained.tokenizer,
        seed=experiment.seed,
        cache_folder=cache_folder(),
        resolve=experiment.path,
    )
    encoder = encoder_of(pretrained.model, experiment.backbone.precision)
    _check_fit(experiment, encoder)
    key = source_key(experiment.backbone, experiment.seed, experiment.path)
    weights = cache_folder() / "encoders" / key
    if not weights.exists():
        publish(weights, lambda empty: save_file(encoder_tensors(encoder), empty / "encoder.safetensors"))
    write_task(task, folder)
    about = {
        "encoder": str(weights / "encoder.safetensors"),
        "sizes": encoder_sizes(encoder),
        "pooling": experiment.backbone.pooling,
        "seed": experiment.seed,
        "tokens": str(cache_folder() / "tokens"),
    }
    (folder / "about.json").write_text(json.dumps(about))


def pretrained_arrays(experiment: Experiment, workbench: Workbench, names: Collection[str]) -> Arrays:
    """Return those of the named arrays that are weights of the backbone.

    They are those of the encoder as it was published, also where the frozen ones are kept in less precision.
    """
    encoder = workbench.network.encoder
    if encoder.dtype != torch.float32:
        encoder = encoder_of(pretrained_of(experiment).model)
    return weights_of(encoder, names)


def export(
    experiment: Experiment, workbench: Workbench, arrays: Mapping[str, np.ndarray], trained: TrainableSet, folder: Path
) -> None:
    """Save adapter and head in the adapters library's own form; a model with whole trained blocks in transformers'.

    A set that a user has added has no form of another library: nothing is saved for it.
    """
    if not isinstance(trained, Head | Bottleneck | TopBlocks | Everything):
        return
    # Imported here: seconds to import, and needed at the end of a run only.
    from fedlab.models.export.adapters_library import library_model, save_adapter  # noqa: PLC0415
    from fedlab.models.export.transformers_model import finetuned_model, save_finetuned  # noqa: PLC0415

    network, pretrained = workbench.network, pretrained_of(experiment)
    about: dict[str, Any] = {
        "kind": network.kind, "label_names": workbench.label_names, "pooling": network.pooling,
    }  # fmt: skip
    if isinstance(trained, TopBlocks | Everything):
        save_finetuned(finetuned_model(pretrained.model, arrays, **about), pretrained.tokenizer, folder)
    else:
        adapter = trained if isinstance(trained, Bottleneck) else Bottleneck(depth=0, width=1)
        save_adapter(library_model(pretrained.model, arrays, adapter, **about), folder)
