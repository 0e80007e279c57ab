"""A table of numbers is read column by column, and every mistake in it is pointed at."""

import gzip

import pytest

from fedlab.common.csv_numbers import number_rows
from fedlab.errors import UserError


@pytest.fixture
def rows(tmp_path):
    """Read a text as a table that needs `id` and `speed` and may have `spread`."""

    def read(text: str | bytes):
        path = tmp_path / "table.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return list(number_rows(path, ("partition_id", "speed"), ("spread",)))

    return read


def test_columns_are_found_by_name_and_others_let_be(rows):
    found = rows("name, speed ,partition_id\nfirst,1e6,0\n\nsecond, 2.5 ,1\n")
    assert [row.values for row in found] == [{"speed": 1e6, "partition_id": 0}, {"speed": 2.5, "partition_id": 1}]
    assert [row.place.rpartition(", ")[2] for row in found] == ["line 2", "line 4"]


def test_an_optional_value_may_be_missing(rows):
    found = rows("partition_id,speed,spread\n0,1,2\n1,1,\n")
    assert [row.values.get("spread") for row in found] == [2, None]


def test_a_byte_order_mark_is_no_part_of_the_header(rows):
    assert rows("\ufeffpartition_id,speed\n0,1\n")[0].values == {"partition_id": 0, "speed": 1}


def test_a_gzipped_table_is_read_as_it_is(tmp_path):
    path = tmp_path / "table.csv.gz"
    path.write_bytes(gzip.compress(b"partition_id,speed\n0,7\n"))
    assert [row.values["speed"] for row in number_rows(path, ("speed",))] == [7]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: no column partition_id: expected a header line with partition_id,speed"),
        ("partition_id\n1\n", "line 1: no column speed"),
        ("partition_id,speed,speed\n1,2,3\n", "line 1: a column is named twice"),
        ("partition_id,speed\n", "no rows, expected at least one line of partition_id,speed"),
        ("partition_id,speed\n0,1\n1\n", "line 3: 1 fields, expected 2 (partition_id,speed)"),
        ("partition_id,speed\n0,\n", "line 2: speed is '', expected a number"),
        ("partition_id,speed\n0,inf\n", "line 2: speed is 'inf', expected a number"),
        ("partition_id,speed\n0,1MB/s\n", "line 2: speed is '1MB/s', expected a number"),
        ('partition_id,speed\n0,"1\n', "not CSV"),
        (b"partition_id,speed\n0,\xff\n", "line 2: not UTF-8 text"),
    ],
)
def test_a_mistake_is_told_with_its_line(rows, text, said):
    with pytest.raises(UserError) as caught:
        rows(text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("check", "value", "said"),
    [
        (lambda row: row.partition_id(), "-1", "partition_id is -1, expected a whole number from 0 up"),
        (lambda row: row.partition_id(), "1.5", "partition_id is 1.5, expected a whole number from 0 up"),
        (lambda row: row.positive("partition_id"), "0", "partition_id is 0, expected a number above 0"),
        (lambda row: row.not_negative("partition_id"), "-2", "partition_id is -2, expected a number from 0 up"),
    ],
)
def test_a_number_out_of_range_is_told_with_its_line(rows, check, value, said):
    (row,) = rows(f"partition_id,speed\n{value},1\n")
    with pytest.raises(UserError, match=f"line 2: {said}"):
        check(row)
