import math

from hypothesis import given
from hypothesis import strategies as st

from fedlab.results.html.columns import columns, rounded, rows_of, thinned


def test_rows_become_columns_and_rows_again():
    rows = [{"a": 1, "b": "x"}, {"a": 2, "b": None}]

    assert columns(rows, ("a", "b")) == {"a": [1, 2], "b": ["x", None]}
    assert rows_of(columns(rows, ("a", "b"))) == rows


def test_numbers_have_five_digits_and_what_is_not_finite_is_none():
    assert [rounded(each) for each in (1.234567, 0.000123456, 2.0, math.inf, math.nan, "x", 7)] == [
        1.2346, 0.00012346, 2, None, None, "x", 7,
    ]  # fmt: skip


@given(length=st.integers(0, 3000), most=st.integers(1, 200))
def test_thinning_keeps_both_ends_and_never_too_many(length, most):
    kept = thinned(length, most)

    assert len(kept) <= max(most, 0)
    assert kept == sorted(set(kept))
    assert not length or kept[-1] == length - 1
    assert length <= 1 or most == 1 or kept[0] == 0
    assert length > most or kept == list(range(length))
