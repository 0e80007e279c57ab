"""A model whose blocks were trained whole, as transformers' own classifier or tagger."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

from fedlab.models.families import family_of


def finetuned_model(
    pretrained: Any, arrays: Mapping[str, np.ndarray], *, kind: str, label_names: Sequence[str], pooling: str
) -> Any:
    """Return transformers' model of these arrays, in evaluation mode; what is not trained is the pretrained model's.

    `pretrained` is a transformers model of a known family, whatever head it has.
    """
    names = dict(enumerate(label_names))
    config = copy.deepcopy(pretrained.config)
    config.id2label, config.label2id = names, {name: number for number, name in names.items()}
    kinds = AutoModelForTokenClassification if kind == "tagging" else AutoModelForSequenceClassification
    with torch.random.fork_rng(devices=[]):  # it draws weights, all of which are replaced
        model = kinds.from_config(config)
    model.base_model.load_state_dict(pretrained.base_model.state_dict(), strict=False)
    family_of(config.model_type, "the model").write(model, arrays, kind=kind, pooling=pooling)
    return model.eval()


def save_finetuned(model: Any, tokenizer: Any, folder: Path) -> None:
    """Save model and tokenizer so that `from_pretrained(folder)` of transformers' Auto classes opens them."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
