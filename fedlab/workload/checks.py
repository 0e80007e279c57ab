"""What the values of a workload can be: each check names the value that is refused, and what is accepted."""

import re
import reprlib
from typing import Any, NoReturn

from fedlab.errors import UserError

LARGEST = 10**9  # of a count or a size; more is a mistake or a lie
NAME_PATTERN = r"[A-Za-z0-9_.-]{1,64}"  # of processors and of LoRA's targets


def check_whole(name: str, value: Any, *, least: int, most: int = LARGEST) -> None:
    """Raise a UserError unless a value is a whole number of a range; a truth value is not one."""
    if type(value) is not int or not least <= value <= most:
        refuse(name, value, f"a whole number from {least} to {most}")


def check_axis(name: str, value: Any, *, given: bool) -> None:
    """Raise a UserError unless a value is above 0 where it is `given`, and 0 where it is not."""
    if given:
        check_whole(name, value, least=1)
    elif type(value) is not int or value:
        refuse(name, value, "nothing for this kind")


def check_choice(name: str, value: Any, accepted: tuple[str, ...]) -> None:
    """Raise a UserError unless a value is one of some words."""
    if type(value) is not str or value not in accepted:
        refuse(name, value, f"one of {', '.join(accepted)}")


def check_name(name: str, value: Any) -> None:
    """Raise a UserError unless a value can be the name of a processor or a projection."""
    if type(value) is not str or not re.fullmatch(NAME_PATTERN, value):
        refuse(name, value, "a name of up to 64 letters, digits, dots, dashes and underscores")


def refuse(name: str, value: Any, accepted: str) -> NoReturn:
    """Raise a UserError that says what a value is, and what is accepted."""
    raise UserError(f"workload: {name} is {reprlib.repr(value)}, expected {accepted}")
