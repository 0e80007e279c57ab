import datetime

import pytest

from fedlab.config.plain_values import check_plain


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (float("inf"), "k = inf: expected 0 or a finite number from 1e-30 to 1e+30"),
        (5e-324, "k = 5e-324: expected 0 or a finite number"),
        (2**63, "k = 9223372036854775808: expected a whole number of at most 63 bits"),
        (10**4300, "k = a whole number of 14285 bits: expected"),
        ("x" * 10**6, "1,000,000 characters, expected at most 4,096"),
        ("folder/" + "x" * 256, "256 bytes without a '/', expected at most 255"),
        ("a\0b", "expected text without a NUL character"),
        ("\udcff", "expected text in UTF-8"),
        (datetime.date(2026, 1, 1), "a date, expected text, a number"),
        (nested(100_000), "k: more than 32 tables or lists within each other"),
        ([0] * 100_001, "the experiment has more than 100,000 values"),
    ],
    ids=lambda value: str(type(value)),
)
def test_what_no_experiment_can_have_is_refused_with_its_key(value, problem):
    with pytest.raises(ValueError, match="k") as caught:
        check_plain({"k": value})
    assert problem in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_long_key_is_shortened():
    with pytest.raises(ValueError, match=r"^xxx.*\.\.\. = ") as caught:
        check_plain({"x" * 10**6: 1})
    assert len(str(caught.value)) < 300


def test_plain_values_are_accepted():
    check_plain({"a": {"b": [1, -2.5, 0.0, "text", True, "c" * 255, "d/" * 1000]}, "e": None})
