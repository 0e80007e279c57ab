import math

import numpy as np
import pytest

from fedlab.config.guard import as_number, guarded, returned_number
from fedlab.config.plugins import load_object
from fedlab.errors import UserError


@pytest.mark.parametrize("error", [KeyError("a"), SystemExit(3), MemoryError("1 TB"), StopIteration()], ids=repr)
def test_what_a_users_code_raises_is_one_line_that_names_plugin_and_method(error):
    def call():
        raise error

    with pytest.raises(UserError, match=rf"^link.name = 'x': transfer_seconds raised {type(error).__name__}"):
        guarded("link.name = 'x'", "transfer_seconds", call)


def test_the_line_says_where_in_the_users_file(tmp_path):
    (tmp_path / "mine.py").write_text("def slow():\n    return {}['key']\n")
    slow = load_object("mine.py:slow", tmp_path)
    with pytest.raises(UserError, match=r"raised KeyError: 'key' \(mine\.py, line 2\)$"):
        guarded("place", "slow", slow)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), UserError("one"), ZeroDivisionError()], ids=repr)
def test_ctrl_c_user_errors_and_what_a_plugin_may_raise_pass(error):
    def call():
        raise error

    with pytest.raises(type(error)):
        guarded("place", "method", call, passes=(ZeroDivisionError,))


def test_numbers_of_python_and_of_numpy_are_numbers():
    assert [as_number(each) for each in (1, 0.5, np.float32(0.25), np.int64(3), math.inf)] == [
        1,
        0.5,
        0.25,
        3,
        math.inf,
    ]
    assert type(as_number(np.float32(0.25))) is float
    assert [as_number(each) for each in (True, np.bool_(True), "1", None, math.nan, np.float32("nan"), 1j)] == [
        None
    ] * 7


@pytest.mark.parametrize("value", [-1, math.nan, math.inf, "fast", None, True, 1e300], ids=repr)
def test_a_number_that_cannot_be_is_named_with_what_is_expected(value):
    with pytest.raises(UserError, match=r"^place: method returned .*, expected a finite number from 0 up$") as caught:
        returned_number("place", "method", value, least=0)
    assert repr(value) in str(caught.value)
