"""A trained network for images as files: its arrays, and what it takes to use them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from fedlab.models.cnn.network import ConvNetwork


def save_network(
    arrays: Mapping[str, np.ndarray], network: ConvNetwork, label_names: Sequence[str], folder: Path
) -> None:
    """Save arrays by name as `model.safetensors`, and network, image shape, labels and scaling as `config.json`.

    The names are those of `fedlab.models.cnn.layers.weight_shapes`, and "running_mean" and "running_var" in the place
    of a batch norm's weight.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / "model.safetensors")
    about = {
        "network": network.encoder.sizes.name,
        "input_shape": network.encoder.sizes.input_shape,
        "labels": list(label_names),
        "mean": network.scaling.mean,
        "std": network.scaling.std,
    }
    (folder / "config.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
