"""The model that a run ends with, in the format of the library that knows what was trained."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fedlab.models.export.adapters_library import save_adapter
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
    pretrained: Callable[[], Pretrained],
    model_type: str,
    network: Network,
    label_names: Sequence[str],
) -> None:
    """Save adapters and head for the adapters library, LoRA for PEFT, a model with trained weights for transformers.

    `model_type` is transformers' name of the backbone, whose weights `pretrained` loads. A set that a user has added
    has no format of another library: nothing is saved for it. Nor is anything saved for adapters of a model that the
    adapters library does not know (Qwen2). Of a language model LoRA alone is saved.
    """
    if network.says_tokens and not isinstance(trained, Lora):
        return
    kind, pooling = network.kind, network.pooling
    about: dict[str, Any] = {"kind": kind, "label_names": label_names, "pooling": pooling}
    if isinstance(trained, HeadOnly | Bottleneck):
        adapter = trained if isinstance(trained, Bottleneck) else Bottleneck(depth=0, width=1)
        blocks = network.encoder.shape.blocks
        save_adapter(arrays, adapter, folder, model_type=model_type, blocks=blocks, **about)
    elif isinstance(trained, TopBlocks | Everything | Biases):
        # Imported here: seconds to import, and needed at the end of a run only.
        from fedlab.models.export.transformers_model import finetuned_model, save_finetuned  # noqa: PLC0415

        loaded = pretrained()
        save_finetuned(finetuned_model(loaded.model, arrays, **about), loaded.tokenizer, folder)
    elif isinstance(trained, Lora):
        from fedlab.models.export.peft_library import save_lora  # noqa: PLC0415

        model = pretrained().model
        head = family_of(model_type, "the model").head(model, arrays, kind=kind, pooling=pooling)
        save_lora(arrays, trained, folder, model=model, head=head, kind=kind, label_names=label_names)
