"""Load tasks from the cache; build those it lacks."""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fedlab.common.cache_folder import publish
from fedlab.config.schema import TaskTable
from fedlab.data.location import Resolve, fingerprint
from fedlab.data.task import TASK_FILES, Task, read_task, write_task
from fedlab.data.tokens import tokenizer_digest

TASK_LAYOUT = 5  # part of the cache keys: raise it when a change of the code changes the task of a table


def load_task(table: TaskTable, *, tokenizer: Any, seed: int, cache_folder: Path, resolve: Resolve) -> Task:
    """Load a task from the cache, or build it: read, tokenise and partition over the clients.

    The first process builds the task, others map its files into memory. Data of a user's function are read every time,
    because nothing shows whether the function would return the same; their tokens are cached by content. `tokenizer` is
    None for images.

    Raises:
        UserError: the data cannot be read, or do not match the table.
    """
    state = fingerprint(table, resolve)
    folder = cache_folder / "tasks" / _key(table, seed, tokenizer, state)
    if state is not None:
        with contextlib.suppress(FileNotFoundError):
            return read_task(folder, cache_folder / "tokens")
    # Imported here: the readers and partitioners take 4 seconds, which a process that finds the task cached saves.
    from fedlab.data.build import build_task  # noqa: PLC0415

    task = build_task(table, tokenizer=tokenizer, seed=seed, cache_folder=cache_folder / "tokens", resolve=resolve)
    if state is not None:
        publish(folder, lambda empty: write_task(task, empty), needs=TASK_FILES)
    return task


def texts_for_vocabulary(table: TaskTable, resolve: Resolve) -> Iterator[str]:
    """Yield the texts of the training split, on which the tokenizer of a random encoder is trained."""
    from fedlab.data.build import training_texts  # noqa: PLC0415 - as in `load_task`

    yield from training_texts(table, resolve)


def _key(table: TaskTable, seed: int, tokenizer: Any, state: object) -> str:
    template = getattr(tokenizer, "chat_template", None) if table.kind == "prompt" else None
    tokens = None if tokenizer is None else tokenizer_digest(tokenizer)
    parts = [TASK_LAYOUT, table.model_dump(mode="json"), seed, tokens, state, template]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
