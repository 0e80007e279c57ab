"""The label set of a task, and label ids: the index of a label in the set."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from fedlab.config.schema import TaskTable
from fedlab.data.examples import Examples, one_label
from fedlab.errors import UserError

_BIO = re.compile(r"O|[BI]-.+")
_SHOWN = 6
_FEW_EXAMPLES = 20  # with fewer, each may well have a label of its own
_MOST_WORDS = 100  # of label words that are not listed in the experiment


def label_set(train: Examples, table: TaskTable, declared: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return the label names: `task.labels`, else those the column declares, else those of the training split.

    Labels from the training split are sorted, numbers by value. BIO tags are completed to O, and B- and I- of every
    type, because other splits may contain a tag that the training split lacks. Language tasks have labels only where
    the responses are label words.

    Raises:
        UserError: there is one label only, or most labels occur once; in a tagging task, a name is not a BIO tag; or
            there are too many responses to be label words.
    """
    if table.is_language and not table.scores_labels:
        return ()
    given = [*dict.fromkeys(map(one_label, table.labels or declared or []))]
    used = _tags_used(train) if table.kind == "tagging" else set(train.labels)
    names = tuple(given) if given else _sorted(used)
    for name in names if table.kind == "tagging" else ():
        if not _BIO.fullmatch(name):
            raise UserError(f"label '{name}': tagging needs BIO tags: O, B-type, I-type")
    if len(names) < 2 and used <= set(names):  # otherwise `label_ids` names the label that is not in the set
        raise UserError(
            f"{_key(table)}: every training example has the label '{names[0]}', so there is nothing to"
            " learn: is it the column of the labels?"
        )
    if not given and table.kind != "tagging":
        _refuse_unrepeated(len(names), len(train.labels), table)
    if table.scores_labels and not given and len(names) > _MOST_WORDS:
        raise UserError(
            f"{_key(table)}: {len(names)} different responses are too many to be label words: set task.labels, or"
            " another task.measure"
        )
    if given or table.kind != "tagging":
        return names
    whole = {"O", *(f"{mark}-{name[2:]}" for name in names if name != "O" for mark in "BI")}
    return _sorted(whole)


def label_ids(examples: Examples, names: Sequence[str], split: str) -> list[Any]:
    """Return the id of each label (tagging: a list of ids for each sentence).

    Raises:
        UserError: a label is not in the set; the message names the label, the split and the accepted labels.
    """
    number = {name: i for i, name in enumerate(names)}
    try:
        return [
            [number[tag] for tag in label] if isinstance(label, list) else number[label] for label in examples.labels
        ]
    except KeyError as error:
        shown = ", ".join(names[:_SHOWN]) + (f", ... ({len(names)} in all)" if len(names) > _SHOWN else "")
        raise UserError(f"label '{error.args[0]}' in split '{split}' is not in the set: accepted: {shown}") from error


def _refuse_unrepeated(labels: int, examples: int, table: TaskTable) -> None:
    """Raise a `UserError` if most labels occur once: then the column holds ids, texts or numbers, and not labels."""
    if examples >= _FEW_EXAMPLES and 2 * labels > examples:
        raise UserError(
            f"{_key(table)}: {labels:,} different labels of {examples:,} training examples leave nothing to learn: is"
            " it the column of the labels? task.labels lists labels that are meant"
        )


def _key(table: TaskTable) -> str:
    """Return the key that names the column of the labels, with its value."""
    return f"task.response = '{table.response}'" if table.scores_labels else f"task.label = '{table.label}'"


def _tags_used(examples: Examples) -> set[str]:
    return {tag for tags in examples.labels for tag in tags}


def _sorted(names: Iterable[Any]) -> tuple[str, ...]:
    ordered = sorted(names)
    if all(re.fullmatch(r"-?\d+", name) for name in ordered):
        ordered.sort(key=int)
    return tuple(ordered)
