"""A split of a task as plain lists: texts or images and labels, read from the columns that the experiment names."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import datasets
import numpy as np

from fedlab.config.plugins import nearest
from fedlab.config.schema import TaskTable
from fedlab.data.conversations import ASSISTANT, Conversation, asked_and_answered, chats
from fedlab.data.pixels import read_pixels
from fedlab.errors import UserError


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """How many examples of a split in the source are not used, by the reason."""

    no_text: int = 0
    no_label: int = 0


@dataclass(frozen=True, kw_only=True)
class Examples:
    """The examples of one split: lists of equal length of texts, labels and (in scheme `natural`) client ids.

    Where the task is of images, these stand in the place of texts. Language tasks (next-token, prompt) have a label
    where a partition or the score needs one, elsewhere "".
    """

    # Tagging: words; images: pixels, uint8 [C, H, W].
    texts: list[str] | list[list[str]] | list[Conversation] | list[np.ndarray]
    labels: list[str] | list[list[str]]  # tagging: one BIO tag for each word
    client_ids: list[object] | None = None
    left_out: LeftOut = field(default=LeftOut(), compare=False)

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
    """Read the examples of one split; examples without text or label are left out and counted.

    A label is missing if it is null, NaN (also as text), empty or blank; of a sentence, if one of its tags is. Labels
    that differ in blanks alone are one label.

    Raises:
        UserError: a column is missing or has the wrong type, most examples have no label, or none has a text.
    """
    texts = read_texts(dataset, table, split)
    labels = _labels_of(dataset, table, split, texts)
    column = table.partition.column if split == "train" and table.partition.scheme == "natural" else None
    ids = None if column is None else list(_column(dataset, column, "task.partition.column", split))
    everything = Examples(texts=texts, labels=labels, client_ids=ids)
    with_text = np.array([_holds_something(text) for text in texts], bool)
    labelled = np.array([None not in label if isinstance(label, list) else label is not None for label in labels], bool)
    if not with_text.any():
        raise UserError(
            f"split '{split}' of task.data = '{table.data}' contains no {'image' if table.kind == 'image' else 'text'}"
        )
    no_label = int((with_text & ~labelled).sum())
    if 2 * no_label > with_text.sum():
        raise UserError(
            f"split '{split}' of task.data = '{table.data}': {no_label} of {with_text.sum()} examples have no"
            f" {_asked_for(table)}?"
        )
    kept = everything.take(np.flatnonzero(with_text & labelled))
    _check_tags(kept, split)
    return replace(kept, left_out=LeftOut(no_text=int((~with_text).sum()), no_label=no_label))


def _asked_for(table: TaskTable) -> str:
    if table.kind == "prompt":
        key, column = ("messages", table.messages) if table.messages else ("response", table.response)
        return f"response: is task.{key} = '{column}' the column of the {key if table.messages else 'responses'}"
    return f"label: is task.label = '{table.label}' the column of the labels"


def _holds_something(text: str | list[Any] | np.ndarray | None) -> bool:
    return any(text) if isinstance(text, list) else text is not None and len(text) > 0


def read_texts(
    dataset: datasets.Dataset, table: TaskTable, split: str
) -> list[str] | list[list[str]] | list[Conversation] | list[np.ndarray]:
    """Read the texts of one split, with several columns joined by a space; for tagging, the words of each sentence.

    Prompts and responses are read as conversations, images as pixels.
    """
    if table.kind == "image":
        name = _existing_column(dataset, table.image, "task.image", split)
        return cast("list[np.ndarray]", read_pixels(dataset, name, table, split))
    if table.kind == "prompt":
        return _read_conversations(dataset, table, split)
    if table.kind != "tagging" and {"tokens", "tags"} <= set(dataset.column_names) - {*table.text, table.label}:
        raise UserError(
            f"task.data = '{table.data}' has tokens and tags: set task.kind = 'tagging', task.text = 'tokens' and"
            " task.label = 'tags'"
        )
    columns = [_column(dataset, name, "task.text", split) for name in table.text]
    if table.kind == "tagging":
        if len(columns) != 1 or not _all_lists(columns[0]):
            raise UserError(f"task.text = {table.text}: tagging needs one column of lists of words in split '{split}'")
        return [[_plain(word) for word in words] for words in columns[0]]
    for name, values in zip(table.text, columns, strict=True):
        _check_plain(values, f"task.text = '{name}'", split)
    return [" ".join(_plain(value) for value in values).strip() for values in zip(*columns, strict=True)]


def _read_conversations(dataset: datasets.Dataset, table: TaskTable, split: str) -> list[Conversation]:
    if table.messages is not None:
        said = f"task.messages = '{table.messages}'"
        return chats(_column(dataset, table.messages, "task.messages", split), said, split)

    def column(name: str, key: str) -> list[str]:
        values = _column(dataset, name, key, split)
        _check_plain(values, f"{key}: column '{name}'", split)
        names = _class_names(dataset, name)
        return [_name(value, names) or "" if names else _plain(value) for value in values]

    return asked_and_answered(table, dataset.column_names, column)


def _labels_of(dataset: datasets.Dataset, table: TaskTable, split: str, texts: Sequence[Any]) -> list[Any]:
    """Read the labels. Language tasks have those that a partition or the score needs, else ""; None: no response."""
    if not table.is_language:
        return _read_labels(dataset, table, split)
    if table.kind == "prompt":
        answered = [bool(text) and text[-1][0] == ASSISTANT for text in texts]
    else:
        answered = [True] * len(texts)
    if table.scores_labels:
        labels: list[Any] = [one_label(text[-1][1]) if text else "" for text in texts]
    elif split == "train" and table.partition.scheme in ("dirichlet", "pathological"):
        labels = _read_labels(dataset, table, split)
    else:
        labels = [""] * len(texts)
    return [label if there else None for label, there in zip(labels, answered, strict=True)]


def _read_labels(dataset: datasets.Dataset, table: TaskTable, split: str) -> list[Any]:
    """Read labels as strings, [N] or for tagging [N][words]; ids become the names that the column declares."""
    column = _column(dataset, table.label, "task.label", split)
    names = declared_labels(dataset, table)
    if table.kind != "tagging":
        _check_plain(column, f"task.label = '{table.label}'", split)
        return [_name(value, names) for value in column]
    if not _all_lists(column):
        raise UserError(f"task.label = '{table.label}': tagging needs a column of lists of tags in split '{split}'")
    return [[_name(value, names) for value in values] for values in column]


def declared_labels(dataset: datasets.Dataset, table: TaskTable) -> list[str] | None:
    """Return the names that the label column declares (`datasets.ClassLabel`, or a list of it), or None."""
    return _class_names(dataset, table.label)


def _class_names(dataset: datasets.Dataset, column: str) -> list[str] | None:
    feature = dataset.features.get(column_named(column, dataset.column_names))
    names: list[str] | None = getattr(getattr(feature, "feature", feature), "names", None)
    return None if names is None else [one_label(name) for name in names]


def one_label(name: str) -> str:
    """Return a label without the blanks in which it may differ from the same label elsewhere."""
    return " ".join(name.split())


def _existing_column(dataset: datasets.Dataset, name: str, key: str, split: str) -> str:
    found = column_named(name, dataset.column_names)
    if found is None:
        raise UserError(f"{key}: no column '{name}' in split '{split}': {nearest(name, dataset.column_names)}")
    return found


def _column(dataset: datasets.Dataset, name: str, key: str, split: str) -> Sequence[Any]:
    found = _existing_column(dataset, name, key, split)
    try:
        values: Sequence[Any] = dataset.with_format(None)[found][:]
    except UnicodeDecodeError as error:
        raise UserError(f"{key}: column '{name}' of split '{split}' is not UTF-8 text ({error.reason})") from error
    return values


def column_named(name: str, columns: Sequence[str]) -> str | None:
    """Return the column of this name, or the one that only has a `#` before it, as some programs begin a header."""
    if name in columns:
        return name
    return next((each for each in columns if each.startswith("#") and each.lstrip("# ") == name), None)


def _all_lists(values: Sequence[Any]) -> bool:
    return all(isinstance(value, list) for value in values)


def _plain(value: object) -> str:
    return "" if is_missing(value) else str(value)


def is_missing(value: object) -> bool:
    """Tell whether a value of a column is null or NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def _check_plain(values: Sequence[Any], said: str, split: str) -> None:
    """Raise a `UserError` if a column has lists, tables or bytes, whose Python notation would be taken for text."""
    for value in values:
        if isinstance(value, list | tuple):
            raise UserError(f"{said}: has lists in split '{split}', expected text; words with tags need kind 'tagging'")
        if isinstance(value, dict | bytes):
            raise UserError(f"{said}: has values of type {type(value).__name__} in split '{split}', expected text")


def _name(value: object, names: Sequence[str] | None) -> str | None:
    """Return the name of a label, None if it is missing."""
    if names is not None and isinstance(value, int) and 0 <= value < len(names):
        return names[value]
    name = one_label(_plain(value))
    return None if not name or name.lower() == "nan" else name


def _check_tags(examples: Examples, split: str) -> None:
    texts: Sequence[Any] = examples.texts
    for text, label in zip(texts, examples.labels, strict=True):
        if isinstance(label, list) and len(label) != len(text):
            raise UserError(f"split '{split}': {len(text)} words but {len(label)} tags: {' '.join(text)[:60]!r}")
