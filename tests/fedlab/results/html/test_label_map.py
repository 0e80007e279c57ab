import pytest

from fedlab.data.report import ClientLabels
from fedlab.errors import DamagedError
from fedlab.results.folder import RunFolder
from fedlab.results.html.label_map import label_map, read_data_report


def labels(clients, names):
    return ClientLabels(
        examples=[4] * clients, without_client=0, labels=[f"l{at}" for at in range(names)],
        counts=[[1] * names for _ in range(clients)],
    )  # fmt: skip


def test_a_cell_is_the_share_of_a_label_among_a_clients_examples():
    found = label_map(ClientLabels(examples=[4], without_client=0, labels=["day", "night"], counts=[[3, 1]]))

    assert found.cells == {"client": [0, 0], "label": ["day", "night"], "examples": [3, 1], "share": [0.75, 0.25]}


def test_a_map_shows_no_more_than_a_page_holds_and_says_of_how_many():
    found = label_map(labels(300, 100))

    assert (found.labels, found.clients, found.all_labels, found.all_clients) == (60, 66, 100, 300)
    assert len(found.cells["label"]) == 60 * 66


def test_there_is_no_map_without_labels():
    assert label_map(labels(3, 0)) is None


def test_a_broken_file_is_named(tmp_path):
    assert read_data_report(RunFolder(tmp_path)) is None
    (tmp_path / "data.json").write_text('{"splits": 1}')

    with pytest.raises(DamagedError, match=r"data\.json: not what a run says of its data"):
        read_data_report(RunFolder(tmp_path))
