"""What was read of the data, as two lines, as tables for the terminal and as files."""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fedlab.common.files import replace_text
from fedlab.common.short_text import shortened
from fedlab.data.report import UNLABELLED, ClientLabels, DataReport, ImageReport, SplitReport
from fedlab.results.folder import RunFolder

_CLIENTS, _LABELS = 20, 10  # rows and columns of the table for the terminal
_REASONS = {"no_text": "without text", "no_label": "without a label"}
_OF_PROMPTS = {"no_text": "without a prompt", "no_label": "without a response"}
_OF_IMAGES = {"no_text": "without an image", "no_label": "without a label"}
_SAMPLE_CHARACTERS = 300
_ALIKE = 3  # groups of labels that are named


def tell_data(folder: RunFolder, report: DataReport | None, tell: Callable[[str], object]) -> None:
    """Tell at the start of a run what was read, in two lines, and write it into the run folder; once for each run."""
    if report is None or folder.data.exists():
        return
    for line in data_lines(report):
        tell(line)
    write_data(report, folder.data, folder.data_plot)


def write_data(report: DataReport, file: Path, plot: Path) -> None:
    """Write the report, and the picture of the clients' label shares."""
    # Imported here: a quarter of a second, in which a run's actors start.
    from fedlab.results.data_plot import plot_label_shares  # noqa: PLC0415

    plot_label_shares(report.clients, plot)
    replace_text(file, json.dumps(report.plain(), indent=1) + "\n")


def data_lines(report: DataReport) -> tuple[str, str]:
    """Return what was read in two lines: what there is, and what was cut, dropped or occurs twice."""
    sizes = ", ".join(f"{part.examples:,} {split}" for split, part in report.splits.items())
    train = report.splits["train"]
    largest = _percent(max(train.labels.values()) / sum(train.labels.values())) if train.labels else "-"
    named = "entity types" if report.kind == "tagging" else "labels"
    labels = [f"{len(train.labels)} {named} (the largest {largest})"] if train.labels else []
    copy = [f"{report.data} as in {report.copy}"] if report.copy else []
    first = [*copy, f"{sizes} examples", *labels, _clients_line(report.clients)]
    second = [_inputs(report), *_counted(report), *_notes(report)]
    return f"data: {'; '.join(first)}", f"data: {'; '.join(second)}"


def render_data(report: DataReport) -> RenderableType:
    """Return tables of the splits, the labels and the clients, and what was left out or occurs twice."""
    notes = [
        *([_inputs(report)] if report.images else []),
        *_counted(report),
        *_notes(report),
    ]
    labels = [_labels(report)] if report.splits["train"].labels else []
    samples = [_sample(number, each) for number, each in enumerate(report.samples, start=1)]
    return Group(_splits(report), *labels, _clients(report.clients), *map(Text, notes), *samples)


def _notes(report: DataReport) -> list[str]:
    """Return what people should know of the data before they train: what is lost, repeated or written in two ways."""
    return [*_alike(report), *_left_out(report), *_lost(report), *_duplicates(report)]


def _clients_line(clients: ClientLabels) -> str:
    sizes = clients.examples
    dropped = f" ({clients.without_client:,} examples of dropped clients unused)" if clients.without_client else ""
    size = f"{min(sizes):,}" if min(sizes) == max(sizes) else f"{min(sizes):,} to {max(sizes):,}"
    return f"{len(sizes):,} clients of {size} examples{dropped}"


def _cut(report: DataReport) -> str:
    cut, everything = _total(report, lambda part: part.cut), _total(report, lambda part: part.examples)
    return f"{_percent(cut / everything)} are longer than {report.max_length} and cut" if cut else "all are whole"


def _inputs(report: DataReport) -> str:
    """Say how long the texts or how large the images are."""
    if report.images is not None:
        channels, height, width = report.images.shape
        return f"images of {channels} x {height} x {width} (channels, height, width), {_normalised(report.images)}"
    return f"texts have {report.splits['train'].median_tokens:g} tokens (median), {_cut(report)}"


def _normalised(images: ImageReport) -> str:
    mean, std = (", ".join(f"{each:.4g}" for each in values) for values in (images.mean, images.std))
    return f"normalised by mean {mean} and deviation {std}"


def _lost(report: DataReport) -> list[str]:
    lost = _total(report, lambda part: part.lost_entities)
    entities = _total(report, lambda part: sum(part.labels.values()))
    return [f"{_percent(lost / entities)} of entities are cut off and count as missed"] if lost else []


def _counted(report: DataReport) -> list[str]:
    """Say of a language task how many tokens a model learns, and into how many blocks they are packed."""
    counted = report.splits["train"].counted_tokens
    if counted is None:
        return []
    blocks = f" in {report.blocks:,} blocks of {report.max_length}" if report.blocks is not None else ""
    return [f"{counted:,} training tokens count in the loss{blocks}"]


def _sample(number: int, parts: Mapping[str, str]) -> Text:
    """Return a training example as the model sees it, the response in bold."""
    prompt, response = (shortened(repr(parts[name])[1:-1], _SAMPLE_CHARACTERS) for name in ("prompt", "response"))
    return Text.assemble((f"example {number}: ", "dim"), prompt, (response, "bold"))


def _alike(report: DataReport) -> list[str]:
    """Say which labels differ in upper and lower case alone: most often one label was written in two ways."""
    by_letters: dict[str, set[str]] = {}
    for name in (name for part in report.splits.values() for name in part.labels):
        by_letters.setdefault(name.casefold(), set()).add(name)
    alike = sorted(" and ".join(sorted(names)) for names in by_letters.values() if len(names) > 1)
    more = f" and {len(alike) - _ALIKE} more" if len(alike) > _ALIKE else ""
    return [f"labels that differ in case alone count as different: {', '.join(alike[:_ALIKE])}{more}"] if alike else []


def _left_out(report: DataReport) -> list[str]:
    reasons = _OF_PROMPTS if report.kind == "prompt" else _OF_IMAGES if report.images else _REASONS
    totals = {reason: sum(each[reason] for each in report.left_out.values()) for reason in reasons}
    said = [f"{count:,} {reasons[reason]}" for reason, count in totals.items() if count]
    return [f"left out: {', '.join(said)}"] if said else []


def _duplicates(report: DataReport) -> list[str]:
    what, duplicates = "images" if report.images else "texts", report.duplicates
    return [
        f"{split} {what} that {'repeat an earlier one' if split == other else f'are also in {other}'}: {count:,}"
        for split, others in duplicates.items()
        for other, count in others.items()
        if count
    ]


def _total(report: DataReport, count: Callable[[SplitReport], int]) -> int:
    return sum(map(count, report.splits.values()))


def _splits(report: DataReport) -> Table:
    title = f"{report.data} as in {report.copy}" if report.copy else report.data
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("split")
    lengths = () if report.images else ("median tokens", "longest", f"cut at {report.max_length}")
    for heading in ("examples", *lengths):
        table.add_column(heading, justify="right")
    for split, part in report.splits.items():
        if report.images:
            table.add_row(split, f"{part.examples:,}")
            continue
        share = _percent(part.cut / part.examples)
        table.add_row(split, f"{part.examples:,}", f"{part.median_tokens:g}", f"{part.longest_tokens:,}", share)
    return table


def _labels(report: DataReport) -> Table:
    table, splits = Table(box=box.SIMPLE_HEAD), report.splits
    table.add_column("entities" if report.kind == "tagging" else "label")
    for split in splits:
        table.add_column(split, justify="right")
    names = list(dict.fromkeys(name for part in splits.values() for name in part.labels))
    for name in names[: 2 * _CLIENTS]:
        table.add_row(Text(name), *(f"{part.labels.get(name, 0):,}" for part in splits.values()))
    if len(names) > 2 * _CLIENTS:
        table.add_row(f"... {len(names) - 2 * _CLIENTS:,} more")
    return table


def _clients(clients: ClientLabels) -> Table:
    """Return the share of each label by client: of the first clients, and of the most common labels."""
    totals = [sum(column) for column in zip(*clients.counts, strict=True)]
    totals = [] if clients.labels == [UNLABELLED] else totals
    chosen = sorted(sorted(range(len(totals)), key=lambda label: -totals[label])[:_LABELS])
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("client")
    table.add_column("examples", justify="right")
    for label in chosen:
        table.add_column(Text(clients.labels[label]), justify="right")
    for client, counts in enumerate(clients.counts[:_CLIENTS]):
        table.add_row(str(client), f"{clients.examples[client]:,}", *_shares(counts, chosen))
    if len(clients.examples) > _CLIENTS:
        middle = statistics.median(clients.examples)
        table.add_row(f"... {len(clients.examples) - _CLIENTS:,} more", f"{middle:g} (median)")
    return table


def _shares(counts: Sequence[int], chosen: Sequence[int]) -> list[str]:
    return [_percent(counts[label] / sum(counts)) for label in chosen]


def _percent(share: float) -> str:
    return f"{share:.1%}" if 0 < share < 0.1 else f"{share:.0%}"
