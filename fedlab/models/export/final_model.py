"""The model that a run ends with, in the format of the library that knows what was trained."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fedlab.models.families import family_of
from fedlab.models.load import Pretrained
from fedlab.models.peft.base import TrainableSet
from fedlab.models.peft.bitfit import Biases
from fedlab.models.peft.bottleneck import Bottleneck
from fedlab.models.peft.head import HeadOnly
from fedlab.models.peft.lora import Lora
from fedlab.models.peft.whole_blocks import Everything, TopBlocks
from fedlab.models.split import Network


def is_adapter(trained: TrainableSet) -> bool:
    """Tell whether a set is saved as an adapter, which is opened on top of the backbone, and not as a whole model."""
    return isinstance(trained, HeadOnly | Bottleneck | Lora)


def export_model(
    arrays: Mapping[str, np.ndarray],
    trained: TrainableSet,
    folder: Path,
    *,
    pretrained: Pretrained,
    network: Network,
    label_names: Sequence[str],
) -> None:
    """Save adapters and head for the adapters library, LoRA for PEFT, a model with trained weights for transformers.

    A set that a user has added has no format of another library: nothing is saved for it. Nor is anything saved for
    adapters of a model that the adapters library does not know (Qwen2). Of a language model LoRA alone is saved.
    """
    if network.says_tokens and not isinstance(trained, Lora):
        return
    # Imported here: seconds to import, and needed at the end of a run only.
    from fedlab.models.export.adapters_library import knows, library_model, save_adapter  # noqa: PLC0415
    from fedlab.models.export.peft_library import save_lora  # noqa: PLC0415
    from fedlab.models.export.transformers_model import finetuned_model, save_finetuned  # noqa: PLC0415

    kind, pooling, model = network.kind, network.pooling, pretrained.model
    about: dict[str, Any] = {"kind": kind, "label_names": label_names, "pooling": pooling}
    if isinstance(trained, TopBlocks | Everything | Biases):
        save_finetuned(finetuned_model(model, arrays, **about), pretrained.tokenizer, folder)
    elif isinstance(trained, Lora):
        head = family_of(model.config.model_type, "the model").head(model, arrays, kind=kind, pooling=pooling)
        save_lora(arrays, trained, folder, model=model, head=head, kind=kind, label_names=label_names)
    elif isinstance(trained, HeadOnly | Bottleneck) and knows(model):
        adapter = trained if isinstance(trained, Bottleneck) else Bottleneck(depth=0, width=1)
        save_adapter(library_model(model, arrays, adapter, **about), folder)
