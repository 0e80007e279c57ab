"""The rounds of FwdLLM are read, and refused with the line that is wrong."""

import pytest

from fedlab.errors import UserError
from fedlab.estimate.fwdllm.rounds import RoundsSegment, read_rounds

WRONG = {
    "another column": ("round,probes\n1,1\n", "the columns are round,probes, expected round,perturbations"),
    "a column too many": ("round,perturbations,loss\n1,1,3\n", "the columns are round,perturbations,loss"),
    "a value too few": ("round,perturbations\n10\n", "line 2: 1 values, expected 2"),
    "no perturbation": ("round,perturbations\n10,0\n", "line 2: perturbations is '0', expected a number above 0"),
    "fewer than none": ("round,perturbations\n10,-3\n", "line 2: perturbations is '-3'"),
    "a word": ("round,perturbations\n10,many\n", "line 2: perturbations is 'many'"),
    "not a number": ("round,perturbations\n10,nan\n", "line 2: perturbations is 'nan'"),
    "no end": ("round,perturbations\n10,inf\n", "line 2: perturbations is 'inf'"),
    "nothing there": ("round,perturbations\n10,\n", "line 2: perturbations is ''"),
    "rounds that stay": ("round,perturbations\n10,1\n10,3\n", "line 3: round 10 after round 10, expected rounds that"),
    "rounds that fall": ("round,perturbations\n10,1\n\n9,3\n", "line 4: round 9 after round 10"),
    "a negative round": ("round,perturbations\n-1,1\n", "line 2: round is '-1'"),
    "part of a round": ("round,perturbations\n1.5,1\n", "line 2: round is '1.5'"),
    "round 0": ("round,perturbations\n0,1\n", "line 2: round 0, expected rounds from 1 up"),
    "a header alone": ("round,perturbations\n", "no rounds in it, expected the columns round,perturbations"),
    "nothing": ("", "no rounds in it"),
}


def read(tmp_path, text, method="forward"):
    path = tmp_path / "rounds.csv"
    path.write_text(text)
    return read_rounds(path, method)


def test_segments_begin_after_the_one_before(tmp_path):
    found = read(tmp_path, "perturbations,round\n1,10\n2.5,13\n\n10,40\n")
    assert found == [RoundsSegment(1, 10, 1), RoundsSegment(11, 13, 2.5), RoundsSegment(14, 40, 10)]
    assert [each.rounds for each in found] == [10, 3, 27]


@pytest.mark.parametrize("case", WRONG)
def test_wrong_rounds_are_refused_with_their_line(tmp_path, case):
    text, message = WRONG[case]
    with pytest.raises(UserError, match=message) as caught:
        read(tmp_path, text)
    assert "rounds.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_backpropagation_makes_one_pass_and_has_no_perturbations(tmp_path):
    assert read(tmp_path, "round,perturbations\n4,1\n7,0\n", "full") == [RoundsSegment(1, 4, 1), RoundsSegment(5, 7, 1)]
    with pytest.raises(UserError, match="line 2: perturbations is '3', but adapter has none: expected 0 or 1"):
        read(tmp_path, "round,perturbations\n4,3\n", "adapter")


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"none\.csv: cannot be read"):
        read_rounds(tmp_path / "none.csv", "forward")
