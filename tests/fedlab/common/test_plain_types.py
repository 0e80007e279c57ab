from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Optional

import pytest

from fedlab.common.plain_types import plain_type


@pytest.mark.parametrize(
    ("annotation", "fits", "does_not"),
    [
        (int, [0, -3], [True, 1.0, "1", None]),
        (float, [0, 1.5], [False, "1.5", None]),
        (bool, [True], [1, "true"]),
        (str, [""], [1]),
        (float | None, [None, 2], [True]),
        (Optional[int], [None, 2], [2.5]),  # noqa: UP045  (Flower's own are written so)
        (Literal["drop", "carry"], ["drop"], ["keep", 1]),
        (Sequence[str | float], [[], ["1MB/s", 2.0]], [["1MB/s", True], "1MB/s"]),
        (list, [[1, "a"]], ["ab", {}]),
        (Mapping[str, int], [{}, {"a": 1}], [{"a": True}, {1: 1}, []]),
        (dict[str, Any], [{"a": ...}], [[]]),
    ],
    ids=str,
)
def test_a_value_is_of_a_type_or_is_not(annotation, fits, does_not):
    kind = plain_type(annotation)
    assert all(map(kind.accepts, fits))
    assert not any(map(kind.accepts, does_not))


@pytest.mark.parametrize("annotation", [Any, Callable[[], int], int | object, complex], ids=str)
def test_other_types_are_not_judged(annotation):
    assert plain_type(annotation) is None


def test_what_is_accepted_is_said_in_words():
    assert plain_type(float | None).words == "a number"
    assert plain_type(list[str | float]).words == "a list, each of it text or a number"
    assert plain_type(Literal["drop", "carry"]).words == "one of drop, carry"
