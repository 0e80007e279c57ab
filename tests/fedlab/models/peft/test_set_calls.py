from types import SimpleNamespace

import numpy as np
import pytest

from fedlab.errors import UserError
from fedlab.models.peft.base import SplitPoint
from fedlab.models.peft.set_calls import initial_of, shapes_of, split_point_of

ARRAYS = {"w": np.zeros((2, 3), np.float32)}


def made(name="mine.py:Mine", *, shapes=None, initial=None, split_point=None):
    """Return a set whose methods return these, or raise them."""

    def answer(value):
        def method(*arguments):
            if isinstance(value, BaseException):
                raise value
            return value

        return method

    return SimpleNamespace(
        configuration={"set": name},
        shapes=answer({"w": (2, 3)} if shapes is None else shapes),
        initial=answer(ARRAYS if initial is None else initial),
        split_point=answer(SplitPoint(kind="block_input", block=1) if split_point is None else split_point),
    )


def test_a_sound_set_is_asked():
    assert split_point_of(made(), 2).block == 1
    assert shapes_of(made(), None) == {"w": (2, 3)}
    assert initial_of(made(), None, None, None) == ARRAYS


@pytest.mark.parametrize(
    "wrong", [3, SplitPoint(kind="adapter", block=3), SplitPoint(kind="adapter", block=-1)], ids=str
)
def test_a_point_outside_the_model_is_named(wrong):
    with pytest.raises(UserError, match=r"^the set 'mine.py:Mine': split_point returned .*, expected a SplitPoint"):
        split_point_of(made(split_point=wrong), 2)


@pytest.mark.parametrize("wrong", [{"w": [2, 3]}, {"w": (2, -3)}, {1: (2,)}, {"w": (True,)}], ids=str)
def test_shapes_that_are_none_are_named(wrong):
    with pytest.raises(UserError, match=r"^the set 'mine.py:Mine': shapes returned .*, expected tuples"):
        shapes_of(made(shapes=wrong), None)


@pytest.mark.parametrize(
    "wrong",
    [{}, {"w": [1]}, {"w": np.zeros(6)}, {"w": np.zeros((2, 3), int)}, {"w": np.full((2, 3), np.nan)}],
    ids=["missing", "list", "shape", "whole numbers", "not finite"],
)
def test_first_arrays_that_cannot_be_are_named(wrong):
    with pytest.raises(UserError, match=r"^the set 'mine.py:Mine': initial returned .*'w'"):
        initial_of(made(initial=wrong), None, None, None)


def test_what_a_set_raises_is_one_line_unless_it_is_built_in():
    with pytest.raises(UserError, match=r"^the set 'mine.py:Mine': shapes raised KeyError: 'w'"):
        shapes_of(made(shapes=KeyError("w")), None)
    with pytest.raises(KeyError):
        shapes_of(made("head", shapes=KeyError("w")), None)
