"""What a process needs to train and measure, prepared once a machine and opened by many processes.

Preparing loads the pretrained encoder and tokenises the text, which takes the heavy libraries. It leaves a folder of
plain arrays, the bundle, that any process maps into memory: the weights and the tokens lie in memory once.
"""

import functools
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors.torch import load_file, save_file

from fedlab.activations import ActivationStore
from fedlab.adapterconfig import AdapterConfig
from fedlab.data.task import Task, load_task, read_task, texts_for_vocabulary, write_task
from fedlab.data.tokens import TokenSet
from fedlab.experiment import Experiment
from fedlab.models.backbone import (
    Pretrained,
    encoder_from_tensors,
    encoder_of,
    encoder_sizes,
    encoder_tensors,
    load_pretrained,
)
from fedlab.models.network import Network

Split = Literal["train", "validation", "test"]


@dataclass(frozen=True, kw_only=True)
class Workbench:
    """The model, the tokenised text, its split over the clients, and the states computed so far."""

    network: Network
    task: Task
    seed: int
    activations: ActivationStore

    @property
    def partitions(self) -> tuple[np.ndarray, ...]:
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


def prepare_bundle(experiment: Experiment, folder: Path) -> Path:
    """Load, tokenise and split what an experiment names, write it to `folder`, and return the folder."""
    pretrained = pretrained_of(experiment)
    task = load_task(
        experiment.task,
        tokenizer=pretrained.tokenizer,
        seed=experiment.seed,
        cache_folder=cache_folder(),
        resolve=experiment.path,
    )
    encoder = encoder_of(pretrained.model)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(encoder_tensors(encoder), folder / "encoder.safetensors")
    write_task(task, folder)
    about = {
        "sizes": encoder_sizes(encoder),
        "pooling": experiment.backbone.pooling,
        "seed": experiment.seed,
        "tokens": str(cache_folder() / "tokens"),
    }
    (folder / "about.json").write_text(json.dumps(about))
    return folder


def open_bundle(folder: Path, activations: ActivationStore) -> Workbench:
    """Open a prepared bundle; arrays are mapped, not read."""
    about = json.loads((folder / "about.json").read_text())
    encoder = encoder_from_tensors(load_file(folder / "encoder.safetensors"), about["sizes"])
    task = read_task(folder, Path(about["tokens"]))
    return Workbench(
        network=Network(encoder=encoder, kind=task.kind, pooling=about["pooling"]),
        task=task,
        seed=about["seed"],
        activations=activations,
    )


def open_workbench(node_config: Mapping[str, Any]) -> Workbench:
    """Open the workbench a node's configuration names; a process opens each once.

    `bundle` is the prepared folder, `activations` the folder of stored states, `activation-bytes` their room.
    """
    return _open_once(str(node_config["bundle"]), str(node_config["activations"]), int(node_config["activation-bytes"]))


@functools.lru_cache(maxsize=2)
def _open_once(bundle: str, activations: str, budget_bytes: int) -> Workbench:
    store = ActivationStore(folder=Path(activations), budget_bytes=budget_bytes)
    return open_bundle(Path(bundle), store)


def export_adapter(
    experiment: Experiment, workbench: Workbench, arrays: Mapping[str, np.ndarray], config: AdapterConfig, folder: Path
) -> None:
    """Save adapter and head in the adapters library's own form."""
    # Imported here: seconds to import, and needed at the end of a run only.
    from fedlab.models.library import library_model, save_adapter  # noqa: PLC0415

    network = workbench.network
    model = library_model(
        pretrained_of(experiment).model,
        arrays,
        kind=network.kind,
        label_names=workbench.label_names,
        pooling=network.pooling,
        width=config.width,
    )
    save_adapter(model, folder)
