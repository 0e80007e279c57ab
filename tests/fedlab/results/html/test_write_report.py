import pytest

from fedlab.errors import UserError
from fedlab.results.html.parts import Page
from fedlab.results.html.write_report import try_report, write_report

EMPTY = Page(kind="k", title="t", lead="l", sections=[], footer="f")


@pytest.fixture(autouse=True)
def light(monkeypatch):
    monkeypatch.setattr("fedlab.results.html.render.chart_libraries", lambda: "")


def test_a_report_replaces_an_earlier_one(tmp_path):
    path = tmp_path / "new" / "report.html"
    write_report(EMPTY, path)
    write_report(Page(kind="k", title="second", lead="l", sections=[], footer="f"), path)

    assert "<title>second</title>" in path.read_text()


def test_a_report_never_replaces_another_file(tmp_path):
    path = tmp_path / "experiment.toml"
    path.write_text("name = 'x'")

    with pytest.raises(UserError, match="is not a report of fedlab, so it is not overwritten"):
        write_report(EMPTY, path)
    assert path.read_text() == "name = 'x'"


def test_a_folder_in_the_place_of_a_report_is_named(tmp_path):
    with pytest.raises(UserError, match=r"a folder; expected the path of a file, such as .*/report\.html"):
        write_report(EMPTY, tmp_path)


def test_a_report_that_cannot_be_written_is_one_line(tmp_path):
    def broken():
        raise OSError(28, "No space left on device")

    line = try_report(tmp_path / "report.html", broken, "fedlab report runs/x")

    assert line.startswith("report.html was not written (OSError: [Errno 28] No space left")
    assert line.endswith("; try: fedlab report runs/x")
    assert "\n" not in line
