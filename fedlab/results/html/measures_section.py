"""The measures beside the score: of each split, over the clients, and of each label."""

from collections.abc import Mapping

from fedlab.results.html.parts import PageSection, PageTable, Part
from fedlab.results.html.run_records import RunRecords
from fedlab.results.report import shown_measure

_SPLITS = ("validation", "test")
_OF_LABELS = ("precision", "recall", "f1", "examples")


def measures_section(run: RunRecords) -> PageSection | None:
    """Return tables of the last measures, None for a run that recorded none, as those of earlier versions."""
    measures = run.summary.get("measures") or {}
    parts = [*_of_splits(measures), *_of_clients(measures), *_of_labels(run)]
    return PageSection(key="measures", title="Measures", parts=parts) if parts else None


def _of_splits(measures: Mapping[str, Mapping[str, float]]) -> list[Part]:
    splits = [split for split in _SPLITS if measures.get(split)]
    names = list(dict.fromkeys(name for split in splits for name in measures[split]))
    rows = [[name, *(_cell(name, measures[split]) for split in splits)] for name in names]
    note = "beside the score, at the last measurement; docs/guides/measures.md says what each is"
    if not rows:
        return []
    return [PageTable(key="measures-table", title="By split", note=note, headings=["measure", *splits], rows=rows)]


def _of_clients(measures: Mapping[str, Mapping[str, float]]) -> list[Part]:
    found = measures.get("clients")
    if not found:
        return []
    note = "of the global model on the training examples of each client"
    row = [_cell(name, found) for name in found]
    return [
        PageTable(key="clients-table", title="Over the clients", note=note, headings=list(found), rows=[row], words=0)
    ]


def _of_labels(run: RunRecords) -> list[Part]:
    labels = run.summary.get("labels") or {}
    if not labels:
        return []
    rows = [[name, *(_cell(each, found) for each in _OF_LABELS)] for name, found in labels.items()]
    return [
        PageTable(
            key="measures-by-label",
            title="By label, on the test split at the end",
            headings=["label", *_OF_LABELS],
            rows=rows,
            folded=len(rows) > 10,
        )
    ]


def _cell(name: str, found: Mapping[str, float]) -> str:
    return shown_measure(name, found[name]) if name in found else "-"
