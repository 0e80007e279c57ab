import json
from dataclasses import replace

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread
from rich.console import Console

from fedlab.data.report import ClientLabels, DataReport, SplitReport
from fedlab.results.data_plot import plot_label_shares
from fedlab.results.data_report import data_lines, render_data, tell_data
from fedlab.results.folder import RunFolder


def _split(examples, labels, **more):
    usual = {"median_tokens": 12.0, "longest_tokens": 40, "cut": 0, "lost_entities": 0}
    return SplitReport(examples=examples, labels=labels, **usual | more)


REPORT = DataReport(
    data="reviews.csv",
    kind="classification",
    max_length=32,
    splits={
        "train": _split(6, {"good": 4, "bad": 2}, cut=1),
        "validation": _split(2, {"good": 2}),
        "test": _split(2, {"bad": 2}, cut=1),
    },
    left_out={"train": {"no_text": 1, "no_label": 2}, "test": {"no_text": 0, "no_label": 1}},
    duplicates={"train": {"train": 1}, "validation": {"train": 0}, "test": {"train": 2}},
    clients=ClientLabels(examples=[4, 1], without_client=1, labels=["bad", "good"], counts=[[1, 3], [1, 0]]),
)


def test_two_lines_say_what_was_read_and_what_was_cut_left_out_or_repeated():
    assert data_lines(REPORT) == (
        "data: 6 train, 2 validation, 2 test examples; 2 labels (the largest 67%);"
        " 2 clients of 1 to 4 examples (1 examples of dropped clients unused)",
        "data: texts have 12 tokens (median), 20% are longer than 32 and cut; left out: 1 without text, 3 without a"
        " label; train texts that repeat an earlier one: 1; test texts that are also in train: 2",
    )


def test_what_did_not_happen_is_not_said():
    whole = {split: replace(part, cut=0) for split, part in REPORT.splits.items()}
    plain = replace(REPORT, splits=whole, left_out={}, duplicates={})
    assert data_lines(plain)[1] == "data: texts have 12 tokens (median), all are whole"


def test_labels_that_differ_in_case_alone_are_named():
    splits = REPORT.splits | {"train": _split(9, {"good": 3, "Good": 2, "bad": 3, "fine": 1})}
    one = replace(REPORT, splits=splits | {"test": _split(1, {"BAD": 1})})
    many = replace(REPORT, splits={"train": _split(8, {name: 1 for word in "abcd" for name in (word, word.upper())})})
    assert "labels that differ in case alone count as different: BAD and bad, Good and good; left" in data_lines(one)[1]
    assert "count as different: A and a, B and b, C and c and 1 more; left" in data_lines(many)[1]


def test_clients_of_one_size_and_texts_without_labels_need_no_range_and_no_column():
    equal = ClientLabels(examples=[3, 3], without_client=0, labels=["(no label)"], counts=[[3], [3]])
    plain = replace(REPORT, clients=equal)
    console = Console(width=100)
    with console.capture() as capture:
        console.print(render_data(plain))
    assert data_lines(plain)[0].endswith("; 2 clients of 3 examples")
    assert "(no label)" not in capture.get()


def test_entities_that_are_cut_off_are_said():
    entities = {"train": _split(6, {"person": 9, "place": 1}, lost_entities=2)}
    tagging = replace(REPORT, kind="tagging", splits=entities)
    assert "2 entity types (the largest 90%)" in data_lines(tagging)[0]
    assert "20% of entities are cut off and count as missed" in data_lines(tagging)[1]


def test_the_tables_have_sizes_labels_and_the_share_of_each_label_by_client():
    console = Console(width=100)
    with console.capture() as capture:
        console.print(render_data(REPORT))
    rows = [line.split() for line in capture.get().splitlines()]
    assert ["train", "6", "12", "40", "17%"] in rows
    assert ["good", "4", "2", "0"] in rows
    assert ["0", "4", "25%", "75%"] in rows
    assert ["1", "1", "100%", "0%"] in rows


def test_very_many_clients_and_labels_are_shown_in_part():
    labels = [f"label [{number}]" for number in range(100)]
    clients = ClientLabels(examples=[100] * 50, without_client=0, labels=labels, counts=[[1] * 100] * 50)
    report = replace(REPORT, splits={"train": _split(5000, dict.fromkeys(labels, 50))}, clients=clients)
    console = Console(width=200)
    with console.capture() as capture:
        console.print(render_data(report))
    assert "... 60 more" in capture.get()
    assert "... 30 more" in capture.get()
    assert "label [0]" in capture.get()


def test_a_run_tells_it_once_and_keeps_it_as_files(tmp_path):
    folder, said = RunFolder(tmp_path), []
    tell_data(folder, REPORT, said.append)
    assert said == [*data_lines(REPORT)]
    assert json.loads(folder.data.read_text()) == REPORT.plain()
    assert folder.data_plot.exists()
    tell_data(folder, REPORT, said.append)  # a resumed run
    tell_data(RunFolder(tmp_path / "none"), None, said.append)
    assert len(said) == 2


@pytest.mark.parametrize(("clients", "labels"), [(1, 2), (30, 20), (2000, 300)])
def test_the_picture_is_drawn_whatever_the_numbers(tmp_path, clients, labels):
    names = [f"${number}$ " + "x" * 40 for number in range(labels)]
    counts = [[client % 3 + 1] * labels for client in range(clients)]
    sizes = [sum(row) for row in counts]
    held = ClientLabels(examples=sizes, without_client=0, labels=names, counts=counts)
    plot_label_shares(held, tmp_path / "data.png")
    assert imread(tmp_path / "data.png").std() > 0


def test_each_cell_is_the_share_of_a_label_in_a_clients_examples(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path: figures.append(figure))
    plot_label_shares(REPORT.clients, tmp_path / "data.png")
    heat, bars = figures[0].axes[:2]
    assert heat.images[0].get_array().tolist() == [[0.25, 0.75], [1.0, 0.0]]
    assert [label.get_text() for label in heat.get_xticklabels()] == ["bad", "good"]
    assert [bar.get_width() for bar in bars.patches] == [4, 1]
    assert isinstance(figures[0].canvas, FigureCanvasAgg)


@pytest.mark.parametrize(("counts", "top"), [([[1, 3]], 0.8), ([[1] * 20], 0.1), ([[1, 0]], 1.0), ([[7, 3]], 0.7)])
def test_the_colours_end_at_the_largest_share(tmp_path, monkeypatch, counts, top):
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path: figures.append(figure))
    labels = [str(number) for number in range(len(counts[0]))]
    held = ClientLabels(examples=[sum(counts[0])], without_client=0, labels=labels, counts=counts)
    plot_label_shares(held, tmp_path / "data.png")
    assert figures[0].axes[0].images[0].get_clim() == (0.0, pytest.approx(top))
