"""Describe the splits of a task and the clients' partitions, for the report of what was read."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

import numpy as np

from fedlab.data.encode import Encoded, Lengths
from fedlab.data.examples import Examples
from fedlab.data.images import ImageSet
from fedlab.data.report import UNLABELLED, ClientLabels, SplitReport
from fedlab.data.tokens import IGNORED_LABEL, TokenSet

_SAMPLES = 3
_CELLS = 200_000  # the largest number of counts by client and label that is kept


def split_reports(
    splits: Mapping[str, Examples], encoded: Encoded, label_names: Sequence[str]
) -> dict[str, SplitReport]:
    """Describe the splits of a task."""
    return {split: _split_report(part, split, encoded, label_names) for split, part in splits.items()}


def _split_report(part: Examples, split: str, encoded: Encoded, label_names: Sequence[str]) -> SplitReport:
    tokens = encoded.tokens[split]
    if isinstance(tokens, ImageSet):
        counts = Counter(map(str, part.labels))
        return SplitReport(examples=len(part), labels=_commonest_first(counts))
    return split_report(part, tokens, label_names, encoded.lengths[split], counted_tokens(encoded, split))


def split_report(
    part: Examples, tokens: TokenSet, label_names: Sequence[str], lengths: Lengths, counted: int | None = None
) -> SplitReport:
    """Describe one split; `counted` is how many of its tokens count in the loss of a language task."""
    entities = list(_entities(tokens, label_names))
    kinds: Iterable[object] = (kind for kind, _ in entities) if tokens.words is not None else iter(part.labels)
    counts = Counter(str(kind) for kind in kinds if kind != "")
    return SplitReport(
        examples=len(part),
        labels=_commonest_first(counts),
        median_tokens=float(np.median(lengths.whole)),
        longest_tokens=int(lengths.whole.max()),
        cut=lengths.cut,
        lost_entities=sum(lost for _, lost in entities),
        counted_tokens=counted,
    )


def _commonest_first(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda each: (-each[1], each[0])))


def counted_tokens(encoded: Encoded, split: str) -> int | None:
    """Return how many tokens of a split count in the loss; None where it has none, or rows that are only scored."""
    if encoded.language is None or (encoded.language.words is not None and split != "train"):
        return None
    return int((_token_set(encoded, split).labels != IGNORED_LABEL).sum())


def _token_set(encoded: Encoded, split: str) -> TokenSet:
    tokens = encoded.tokens[split]
    assert isinstance(tokens, TokenSet), "a language task is of texts"
    return tokens


def samples_of(encoded: Encoded, tokenizer: Any) -> list[dict[str, str]]:
    """Return the first training examples of a language task as the model sees them, the responses apart."""
    if encoded.language is None:
        return []
    train, found = _token_set(encoded, "train"), []
    for ids, length, labels in zip(train.input_ids[:_SAMPLES], train.lengths, train.labels, strict=False):
        counts = np.flatnonzero(labels != IGNORED_LABEL) + 1
        start = int(counts[0]) if len(counts) else int(length)
        parts = {"prompt": ids[:start], "response": ids[start:length]}
        found.append({name: str(tokenizer.decode(part.tolist())) for name, part in parts.items()})
    return found


def client_labels(labels: Sequence[str], parts: Sequence[np.ndarray]) -> ClientLabels:
    """Count the labels of each client's examples; `labels` has one for each training example."""
    names, codes = np.unique(np.array([label or UNLABELLED for label in labels]), return_inverse=True)
    shown = parts[: max(1, _CELLS // len(names))]
    return ClientLabels(
        examples=[len(indices) for indices in parts],
        without_client=len(labels) - sum(map(len, parts)),
        labels=[str(name) for name in names],
        counts=[np.bincount(codes[indices], minlength=len(names)).tolist() for indices in shown],
    )


def duplicates_between(splits: Mapping[str, Examples]) -> dict[str, dict[str, int]]:
    """Count the examples of each split whose text, blanks aside, or image is also in an earlier one or occurs again."""
    texts = {split: [_comparable(text) for text in part.texts] for split, part in splits.items()}
    distinct = {split: set(each) for split, each in texts.items()}
    names = list(texts)
    return {
        name: {other: sum(text in distinct[other] for text in texts[name]) for other in names[:place]}
        | {name: len(texts[name]) - len(distinct[name])}
        for place, name in enumerate(names)
    }


def _comparable(text: str | Sequence[str | tuple[str, str]] | np.ndarray) -> str | bytes:
    if isinstance(text, np.ndarray):
        return sha256(np.ascontiguousarray(text).data).digest()
    parts = [text] if isinstance(text, str) else [part if isinstance(part, str) else " ".join(part) for part in text]
    return " ".join(" ".join(parts).split())


def _entities(tokens: TokenSet, label_names: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Yield the type of each entity of a tagging task, and whether a word of it has no token."""
    if tokens.words is None:
        return
    names = [name.partition("-") for name in label_names]
    for tags, seen in zip(tokens.words.tags, tokens.words.seen, strict=True):
        kind, lost = "", False
        for tag, shown in zip(tags[tags != IGNORED_LABEL], seen, strict=False):
            mark, _, word_kind = names[tag]
            if kind and (mark != "I" or word_kind != kind):
                yield kind, lost
                kind = ""
            if word_kind:
                lost = not shown or (lost and bool(kind))
                kind = word_kind
        if kind:
            yield kind, lost
