"""A split of a task as plain lists: texts and labels, read from the columns that the experiment names."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np

from fedlab.config.plugins import nearest
from fedlab.config.schema import TaskTable
from fedlab.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Examples:
    """The examples of one split: lists of equal length of texts, labels and (in scheme `natural`) client ids."""

    texts: list[str] | list[list[str]]  # tagging: words
    labels: list[str] | list[list[str]]  # tagging: one BIO tag for each word
    client_ids: list[object] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, indices: Iterable[int]) -> "Examples":
        """Return the examples at these indices, in the order of the indices."""
        chosen = [int(i) for i in indices]
        ids = self.client_ids
        return Examples(
            texts=[self.texts[i] for i in chosen],  # type: ignore[arg-type]  # a list of the same kind
            labels=[self.labels[i] for i in chosen],  # type: ignore[arg-type]
            client_ids=None if ids is None else [ids[i] for i in chosen],
        )


def read_examples(dataset: datasets.Dataset, table: TaskTable, split: str) -> Examples:
    """Read the examples of one split; examples without text are left out.

    Raises:
        UserError: a column is missing or has the wrong type, or an example has no label.
    """
    texts = read_texts(dataset, table, split)
    labels = _read_labels(dataset, table, split)
    column = table.partition.column if split == "train" and table.partition.scheme == "natural" else None
    ids = None if column is None else list(_column(dataset, column, "task.partition.column", split))
    everything = Examples(texts=texts, labels=labels, client_ids=ids)
    kept = everything.take(np.flatnonzero([any(text) if isinstance(text, list) else bool(text) for text in texts]))
    _check_labelled(kept, split)
    if not kept:
        raise UserError(f"split '{split}' of task.data = '{table.data}' contains no text")
    return kept


def read_texts(dataset: datasets.Dataset, table: TaskTable, split: str) -> list[str] | list[list[str]]:
    """Read the texts of one split, with several columns joined by a space; for tagging, the words of each sentence."""
    columns = [_column(dataset, name, "task.text", split) for name in table.text]
    if table.kind == "tagging":
        if len(columns) != 1 or not _all_lists(columns[0]):
            raise UserError(f"task.text = {table.text}: tagging needs one column of lists of words in split '{split}'")
        return [[str(word) for word in words] for words in columns[0]]
    return [" ".join(_plain(value) for value in values).strip() for values in zip(*columns, strict=True)]


def _read_labels(dataset: datasets.Dataset, table: TaskTable, split: str) -> list[Any]:
    """Read labels as strings, [N] or for tagging [N][words]; ids become the names that the column declares."""
    column = _column(dataset, table.label, "task.label", split)
    names = declared_names(dataset.features[table.label])
    if table.kind != "tagging":
        return [_name(value, names) for value in column]
    if not _all_lists(column):
        raise UserError(f"task.label = '{table.label}': tagging needs a column of lists of tags in split '{split}'")
    return [[_name(value, names) for value in values] for values in column]


def declared_names(feature: Any) -> list[str] | None:
    """Return the names that a label column declares (`datasets.ClassLabel`, or a list of it), or None."""
    names: list[str] | None = getattr(getattr(feature, "feature", feature), "names", None)
    return names


def _column(dataset: datasets.Dataset, name: str, key: str, split: str) -> Sequence[Any]:
    if name not in dataset.column_names:
        raise UserError(f"{key}: no column '{name}' in split '{split}': {nearest(name, dataset.column_names)}")
    values: Sequence[Any] = dataset.with_format(None)[name][:]
    return values


def _all_lists(values: Sequence[Any]) -> bool:
    return all(isinstance(value, list) for value in values)


def _plain(value: object) -> str:
    return "" if value is None else str(value)


def _name(value: object, names: Sequence[str] | None) -> str | None:
    if names is not None and isinstance(value, int) and 0 <= value < len(names):
        return names[value]
    return None if value is None else str(value)


def _check_labelled(examples: Examples, split: str) -> None:
    for text, label in zip(examples.texts, examples.labels, strict=True):
        if label is None or (isinstance(label, list) and None in label):
            raise UserError(f"split '{split}': an example has no label: {str(text)[:60]!r}")
        if isinstance(label, list) and len(label) != len(text):
            raise UserError(f"split '{split}': {len(text)} words but {len(label)} tags: {' '.join(text)[:60]!r}")
