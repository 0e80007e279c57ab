"""A profile is written as it is read, and never over another."""

import pytest

from fedlab.devices.file import check_is_new, read_profile_file, write_profile_file
from fedlab.errors import UserError

WATTS = {"value": 2.5, "provenance": "assumed", "source": 'said the "vendor", 2 µW'}
TABLE = {
    "description": 'a board\\with a "name" and a 🙂 \x7f',
    "measured_at": {"batch_size": 4, "sequence_length": 64, "width": 8, "blocks": 1, "hidden": 8, "intermediate": 16},
    "memory_bytes": {"value": 4_000_000_000, "provenance": "measured", "source": "here"},
    "computing_watts": WATTS,
    "communicating_watts": WATTS,
    "idle_watts": WATTS,
    "latency_seconds": {"bert": {"adapter": {"values": [0.25, 1e-05], "provenance": "measured", "source": "here"}}},
}


def test_a_written_profile_is_read_as_it_was(tmp_path):
    path = tmp_path / "mine.toml"
    write_profile_file(path, TABLE)
    file = read_profile_file(path)
    assert file.description == TABLE["description"]
    assert file.idle_watts.source == WATTS["source"]
    assert file.latency_seconds["bert"]["adapter"].values == [0.25, 1e-05]
    assert file.measured_at.shape("bert").hidden == 8


def test_nothing_is_left_of_writing_but_the_profile(tmp_path):
    write_profile_file(tmp_path / "mine.toml", TABLE)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]


def test_a_file_that_is_there_is_not_overwritten(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("something else")
    with pytest.raises(UserError, match="exists already and is not overwritten"):
        write_profile_file(path, TABLE)
    assert path.read_text() == "something else"


@pytest.mark.parametrize(
    ("name", "problem"), [("mine.txt", "a name that ends in .toml"), ("nowhere/mine.toml", "there is no folder")]
)
def test_a_path_that_no_profile_can_be_at_is_refused_before_anything_is_measured(tmp_path, name, problem):
    with pytest.raises(UserError, match=problem):
        check_is_new(tmp_path / name)
