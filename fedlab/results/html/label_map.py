"""The labels of each client as a heat map: the share of each label among a client's examples."""

import json
from dataclasses import dataclass

from fedlab.data.report import ClientLabels, DataReport, report_from
from fedlab.errors import DamagedError
from fedlab.results.folder import RunFolder
from fedlab.results.html.columns import ChartColumns, columns

_MOST_CELLS = 4000
_MOST_LABELS = 60


@dataclass(frozen=True, kw_only=True)
class LabelMap:
    """The cells of the map, and how many clients and labels it shows of how many."""

    cells: ChartColumns
    labels: int
    clients: int
    all_labels: int
    all_clients: int


def read_data_report(folder: RunFolder) -> DataReport | None:
    """Return what a run read of its data, None if it was not written; raises `DamagedError` if it is not that."""
    if not folder.data.exists():
        return None
    try:
        return report_from(json.loads(folder.data.read_text(encoding="utf-8")))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise DamagedError(f"{folder.data}: not what a run says of its data") from error


def label_map(found: ClientLabels) -> LabelMap | None:
    """Return the map of the first clients and labels that fit a page; None where there are no labels."""
    labels = min(len(found.labels), _MOST_LABELS)
    if not labels or not found.counts:
        return None
    clients = min(len(found.counts), _MOST_CELLS // labels)
    rows = [
        {"client": client, "label": found.labels[at], "examples": count, "share": count / max(1, sum(counts))}
        for client, counts in enumerate(found.counts[:clients])
        for at, count in enumerate(counts[:labels])
        if count
    ]
    return LabelMap(
        cells=columns(rows, ("client", "label", "examples", "share")),
        labels=labels,
        clients=clients,
        all_labels=len(found.labels),
        all_clients=len(found.examples),
    )
