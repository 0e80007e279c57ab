"""What was imported is written whole, to a new file alone."""

import pytest

from fedlab.errors import UserError
from fedlab.network.importers.imported import ImportedTable, write_csv

TABLE = ImportedTable(columns=("partition_id", "throughput"), rows=((0, 0.1), (0, 3), (1, 1 / 3)), left_out={})


def test_a_table_is_written_with_its_header_and_every_digit(tmp_path):
    write_csv(TABLE, tmp_path / "new" / "fleet.csv")
    assert (tmp_path / "new" / "fleet.csv").read_text() == (
        "partition_id,throughput\n0,0.1\n0,3\n1,0.3333333333333333\n"
    )
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["fleet.csv"]


def test_clients_are_counted_once():
    assert TABLE.clients == 2


def test_what_is_there_is_not_overwritten(tmp_path):
    (tmp_path / "fleet.csv").write_text("mine")
    with pytest.raises(UserError, match="exists already and is not overwritten"):
        write_csv(TABLE, tmp_path / "fleet.csv")
    assert (tmp_path / "fleet.csv").read_text() == "mine"
