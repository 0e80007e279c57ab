"""The model that a run ends with, in the format of the library that knows what was trained."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fedlab.models.load import Pretrained
from fedlab.models.peft.base import TrainableSet
from fedlab.models.peft.bottleneck import Bottleneck
from fedlab.models.peft.head import HeadOnly
from fedlab.models.peft.whole_blocks import Everything, TopBlocks
from fedlab.models.split import Network


def export_model(
    arrays: Mapping[str, np.ndarray],
    trained: TrainableSet,
    folder: Path,
    *,
    pretrained: Pretrained,
    network: Network,
    label_names: Sequence[str],
) -> None:
    """Save adapters and head for the adapters library, a model with whole trained blocks for transformers.

    A set that a user has added has no format of another library: nothing is saved for it.
    """
    # Imported here: seconds to import, and needed at the end of a run only.
    from fedlab.models.export.adapters_library import library_model, save_adapter  # noqa: PLC0415
    from fedlab.models.export.transformers_model import finetuned_model, save_finetuned  # noqa: PLC0415

    about: dict[str, Any] = {"kind": network.kind, "label_names": label_names, "pooling": network.pooling}
    if isinstance(trained, TopBlocks | Everything):
        save_finetuned(finetuned_model(pretrained.model, arrays, **about), pretrained.tokenizer, folder)
    elif isinstance(trained, HeadOnly | Bottleneck):
        adapter = trained if isinstance(trained, Bottleneck) else Bottleneck(depth=0, width=1)
        save_adapter(library_model(pretrained.model, arrays, adapter, **about), folder)
