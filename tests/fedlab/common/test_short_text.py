import pytest

from fedlab.common.short_text import LONGEST_LINE, error_line, raised, short


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("two\nlines", r"'two\nlines'"),
        (10**4300, "a whole number of 14285 bits"),
        (-(2**63), "-9223372036854775808"),
        ("x" * 10**6, "'" + "x" * 56 + "..."),
        ([1.5, True], "[1.5, True]"),
    ],
    ids=["lines", "4301 digits", "64 bits", "a megabyte", "a list"],
)
def test_a_value_is_shown_on_one_line_of_60_characters(value, text):
    assert short(value) == text


def test_a_value_that_cannot_be_shown_is_named_by_its_type():
    class Broken:
        def __repr__(self):
            raise ValueError

    assert short(Broken()) == "a Broken"


def test_a_long_error_keeps_where_it_is_and_what_to_do():
    line = error_line(f"experiment.toml: task.data = {'x' * 10**6}: expected the name of a file")
    assert len(line) == LONGEST_LINE
    assert line.startswith("experiment.toml: task.data = xxx")
    assert line.endswith("xxx: expected the name of a file")


def test_what_was_raised_is_named_by_its_type_and_message():
    assert raised(KeyError("a")) == "KeyError: 'a'"
    assert raised(ValueError("one\ntwo")) == "ValueError: one two"
    assert raised(SystemExit()) == "SystemExit"


def test_the_words_beside_what_is_left_out_of_a_line_stay_whole():
    line = error_line(" ".join(f"board-{number:03}" for number in range(100)))
    assert len(line) <= LONGEST_LINE
    assert all(len(word) == len("board-000") for word in line.replace(" ... ", " ").split())
