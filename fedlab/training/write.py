"""Texts that a language model writes: continuations of prompts, to be scored and to be shown."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from fedlab.data.token_texts import NOTHING, prompt_of
from fedlab.models.generation import GreedyGeneration
from fedlab.models.peft.base import SplitPoint
from fedlab.training.workbench import Split, Workbench

_SAMPLES = 5  # texts of the validation split that are shown


def write(
    workbench: Workbench, arrays: Mapping[str, np.ndarray], split: Split, start: int, stop: int, at: SplitPoint
) -> np.ndarray:
    """Continue the prompts of rows `start` to `stop` of a split: token ids [N, new tokens], -1 behind the last one."""
    return _written(workbench, arrays, split, range(start, stop), at)


def samples(workbench: Workbench, arrays: Mapping[str, np.ndarray], at: SplitPoint) -> list[dict[str, str]]:
    """Return a few prompts of the validation split, how a model continues each, and the response in the data."""
    language = workbench.task.language
    assert language is not None, "only language models write"
    tokens, texts = workbench.tokens("validation"), workbench.texts
    paths = 1 if language.words is None else len(language.words.paths)
    rows = range(0, min(len(tokens), _SAMPLES * paths), paths)
    written = texts.decoded(_written(workbench, arrays, "validation", rows, at))
    found = []
    for number, (row, text) in enumerate(zip(rows, written, strict=True)):
        prompt = prompt_of(tokens, row)
        if language.words is None:
            response = texts.text(tokens.input_ids[row][len(prompt) : tokens.lengths[row]])
        else:
            response = workbench.label_names[language.answers["validation"][number]]
        found.append({"prompt": texts.text(prompt), "response": response, "written": text})
    return found


def _written(
    workbench: Workbench, arrays: Mapping[str, np.ndarray], split: Split, rows: Sequence[int], at: SplitPoint
) -> np.ndarray:
    language, tokens, device = workbench.task.language, workbench.tokens(split), workbench.network.device
    assert language is not None, "only language models write"
    generation = GreedyGeneration(
        decoder=workbench.transformer.decoder,
        parameters={name: torch.from_numpy(array).to(device) for name, array in arrays.items()},
        at=at,
        new_tokens=language.new_tokens,
        ends=language.ends,
    )
    found = np.full((len(rows), language.new_tokens), NOTHING, np.int64)
    for place, ids in enumerate(generation.continued([prompt_of(tokens, row) for row in rows])):
        found[place, : len(ids)] = ids
    return found
