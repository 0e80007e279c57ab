"""Describe the splits of a task and the clients' partitions, for the report of what was read."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from fedlab.data.examples import Examples
from fedlab.data.report import ClientLabels, SplitReport
from fedlab.data.tokens import IGNORED_LABEL, TokenSet

_CELLS = 200_000  # the largest number of counts by client and label that is kept


def split_report(part: Examples, tokens: TokenSet, label_names: Sequence[str]) -> SplitReport:
    """Describe one split."""
    entities = list(_entities(tokens, label_names))
    kinds = (kind for kind, _ in entities) if tokens.words is not None else iter(part.labels)
    return SplitReport(
        examples=len(part),
        labels=dict(sorted(Counter(map(str, kinds)).items(), key=lambda each: (-each[1], each[0]))),
        median_tokens=float(np.median(tokens.whole_lengths)),
        longest_tokens=int(tokens.whole_lengths.max()),
        cut=int((tokens.whole_lengths > tokens.lengths).sum()),
        lost_entities=sum(lost for _, lost in entities),
    )


def client_labels(labels: Sequence[str], parts: Sequence[np.ndarray]) -> ClientLabels:
    """Count the labels of each client's examples; `labels` has one for each training example."""
    names, codes = np.unique(np.array(labels), return_inverse=True)
    shown = parts[: max(1, _CELLS // len(names))]
    return ClientLabels(
        examples=[len(indices) for indices in parts],
        without_client=len(labels) - sum(map(len, parts)),
        labels=[str(name) for name in names],
        counts=[np.bincount(codes[indices], minlength=len(names)).tolist() for indices in shown],
    )


def duplicates_between(splits: Mapping[str, Examples]) -> dict[str, dict[str, int]]:
    """Count the examples of each split whose text, blanks aside, is also in a split before it or occurs again."""
    texts = {split: [_comparable(text) for text in part.texts] for split, part in splits.items()}
    distinct = {split: set(each) for split, each in texts.items()}
    names = list(texts)
    return {
        name: {other: sum(text in distinct[other] for text in texts[name]) for other in names[:place]}
        | {name: len(texts[name]) - len(distinct[name])}
        for place, name in enumerate(names)
    }


def _comparable(text: str | Sequence[str]) -> str:
    return " ".join((text if isinstance(text, str) else " ".join(text)).split())


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
