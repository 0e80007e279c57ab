"""Tasks from the cache, built where it lacks them."""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fedlab.common.cache_folder import publish
from fedlab.config.schema import TaskTable
from fedlab.data.location import Resolve, fingerprint
from fedlab.data.task import Task, read_task, write_task
from fedlab.data.tokens import tokenizer_digest

TASK_LAYOUT = 1  # part of the cache's keys: raise it when the same table is to give another task


def load_task(table: TaskTable, *, tokenizer: Any, seed: int, cache_folder: Path, resolve: Resolve) -> Task:
    """Load a task: read it, cut it up, tokenise it and split it over the clients; from the cache if it is there.

    The first process to come does the work, the others map its result into memory. A task whose data come from
    a user's function is read anew each time, since nothing tells whether the function would return the same; its
    tokens are cached all the same, by content.

    Raises:
        UserError: the data cannot be read, or do not fit what the table says of them.
    """
    state = fingerprint(table, resolve)
    folder = cache_folder / "tasks" / _key(table, seed, tokenizer, state)
    if state is not None:
        with contextlib.suppress(FileNotFoundError):
            return read_task(folder, cache_folder / "tokens")
    # Imported here as a process that finds the task in the cache does without what reads and splits data: 4 seconds.
    from fedlab.data.build import build_task  # noqa: PLC0415

    task = build_task(table, tokenizer=tokenizer, seed=seed, cache_folder=cache_folder / "tokens", resolve=resolve)
    if state is not None:
        publish(folder, lambda empty: write_task(task, empty))
    return task


def texts_for_vocabulary(table: TaskTable, resolve: Resolve) -> Iterator[str]:
    """Yield the texts of the training split, to train the tokenizer of a randomly initialised encoder on."""
    from fedlab.data.build import training_texts  # noqa: PLC0415 - as in `load_task`

    yield from training_texts(table, resolve)


def _key(table: TaskTable, seed: int, tokenizer: Any, state: object) -> str:
    parts = [TASK_LAYOUT, table.model_dump(mode="json"), seed, tokenizer_digest(tokenizer), state]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
