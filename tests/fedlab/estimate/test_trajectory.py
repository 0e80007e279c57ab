"""Trajectories are read whatever wrote them, and refused with the line that is wrong."""

import pytest

from fedlab.errors import UserError
from fedlab.estimate.trajectory import Segment, read_trajectory, stretches

WRONG = {
    "another header": (
        "rounds,depth,width\n1,0,8\n",
        r"the columns are rounds,depth,width, expected round,depth,width",
    ),
    "no header": ("10,0,8\n20,2,8\n", r"the columns are 10,0,8"),
    "a column too many": ("round,depth,width,loss\n1,0,8,3\n", r"the columns are round,depth,width,loss"),
    "a value too few": ("round,depth,width\n10,0\n", r"line 2: 2 values, expected 3"),
    "a value too many": ("round,depth,width\n10,0,8\n20,2,8,9\n", r"line 3: 4 values, expected 3"),
    "a word": ("round,depth,width\n10,two,8\n", r"line 2: depth is 'two', expected a whole number"),
    "a negative number": ("round,depth,width\n10,-1,8\n", r"line 2: depth is '-1'"),
    "a fraction": ("round,depth,width\n10,0,8.5\n", r"line 2: width is '8.5'"),
    "an empty value": ("round,depth,width\n10,,8\n", r"line 2: depth is ''"),
    "a number beyond all rounds": (f"round,depth,width\n{'9' * 20},0,8\n", r"line 2: round is '9"),
    "a width that no adapter has": ("round,depth,width\n10,2,65537\n", r"line 2: width 65537, expected at most 65536"),
    "rounds that fall": (
        "round,depth,width\n\n10,0,8\n9,2,8\n",
        r"line 4: round 9 after round 10, expected rounds that rise",
    ),
    "rounds that stay": ("round,depth,width\n10,0,8\n10,2,8\n", r"line 3: round 10 after round 10"),
    "a round before the first": ("round,depth,width\n0,0,8\n", r"line 2: round 0, expected rounds from 1 up"),
    "nothing": ("", r"no rounds in it"),
    "a header alone": ("round,depth,width\n\n", r"no rounds in it"),
    "semicolons": ("round;depth;width\n1;0;8\n", r"the columns are round;depth;width"),
}


def read(tmp_path, text: str | bytes) -> list[Segment]:
    path = tmp_path / "trajectory.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_trajectory(path)


@pytest.mark.parametrize(
    "text",
    [
        "round,depth,width\n80,0,8\n89,2,16\n",
        "round,depth,width\n80,0,8\n89,2,16",
        "\ufeffround,depth,width\r\n80,0,8\r\n89,2,16\r\n",
        "\n  round , depth , width \n\n 80 , 0 , 8 \n\n89,2, 16\n\n\n",
        "Round,Depth,Width\n80,0,8\n89,2,16\n",
        "width,round,depth\n8,80,0\n16,89,2\n",
        'round,depth,width\n"80","0","8"\n89,2.0,16.\n',
    ],
    ids=["plain", "no last newline", "mark and CRLF", "blanks", "capitals", "another order", "quotes and points"],
)
def test_a_trajectory_is_read_whatever_wrote_it(tmp_path, text):
    assert read(tmp_path, text) == [Segment(80, 0, 8), Segment(89, 2, 16)]


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_trajectory_is_refused_with_its_line(tmp_path, case):
    text, message = WRONG[case]
    with pytest.raises(UserError, match=message) as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)
    assert "trajectory.csv" in str(caught.value)


def test_what_is_no_text_is_refused(tmp_path):
    with pytest.raises(UserError, match="is not a CSV file"):
        read(tmp_path, b"\xff\xfe\x00r")


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read_trajectory(tmp_path / "none.csv")
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        read_trajectory(tmp_path)


def test_stretches_begin_where_the_one_before_ended():
    found = stretches([Segment(80, 0, 8), Segment(89, 2, 8)])
    assert [(each.first_round, each.segment.last_round, each.rounds) for each in found] == [(1, 80, 80), (81, 89, 9)]


@pytest.mark.parametrize("rounds", [[], [0], [5, 5], [5, 4]])
def test_stretches_without_rounds_are_refused(rounds):
    with pytest.raises(UserError, match="expected"):
        stretches([Segment(last, 0, 8) for last in rounds])


def test_the_width_may_be_called_a_rank(tmp_path):
    assert read(tmp_path, "round,depth,rank\n20,32,8\n") == [Segment(20, 32, 8)]
    with pytest.raises(UserError, match="the columns are round,depth,width,width, expected round,depth,width"):
        read(tmp_path, "round,depth,rank,width\n20,32,8,8\n")
