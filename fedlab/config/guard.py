"""The one way into code that is not fedlab's: what it raises, or returns in place of what is expected, is one line.

A line names the plugin as the experiment does, the method, and the value or the exception with its place in the file.
"""

import math
import numbers
import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar

from fedlab.common.short_text import raised, short
from fedlab.errors import RunFailedError, UserError

Returned = TypeVar("Returned")

_LARGEST = 1e30  # of a number of seconds or bytes; sums and products of such numbers are still finite
_OURS = Path(__file__).parents[1]
_INSTALLED = tuple(Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib"))


def guarded(
    place: str, method: str, call: Callable[[], Returned], *, passes: tuple[type[Exception], ...] = ()
) -> Returned:
    """Return what a call into a user's code returns; `place` names the plugin, `passes` are exceptions it may raise.

    A KeyboardInterrupt passes: it cannot be told from Ctrl-C.

    Raises:
        UserError: the code raised something, `SystemExit` included.
    """
    let_through: tuple[type[BaseException], ...] = (UserError, RunFailedError, KeyboardInterrupt, *passes)
    try:
        return call()
    except let_through:
        raise
    except BaseException as error:
        raise UserError(f"{place}: {method} raised {raised(error)}{where(error)}") from error


def refuse_returned(place: str, method: str, value: object, expected: str) -> NoReturn:
    """Raise a UserError: a user's code returned something else than expected."""
    raise UserError(f"{place}: {method} returned {short(value)}, expected {expected}")


def returned_number(place: str, method: str, value: object, *, least: float, above: bool = False) -> float:
    """Return a number that a user's code returned: of Python or numpy, finite, from `least` up, or `above` it.

    Raises:
        UserError: it is something else.
    """
    number = as_number(value)
    if number is None or abs(number) > _LARGEST or number < least or (above and number == least):
        refuse_returned(place, method, value, f"a finite number {'above' if above else 'from'} {least:g}{_up(above)}")
    return number


def as_number(value: object) -> float | None:
    """Return a number of Python, unchanged, or of numpy, as one of Python; None for anything else, NaN included."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    number = value if isinstance(value, int | float) and type(value) in (int, float) else float(value)
    return None if math.isnan(number) else number


def _up(above: bool) -> str:
    return "" if above else " up"


def where(error: BaseException) -> str:
    """Return the file and line that raised, to end a message with; nothing unless that is a user's file."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_absolute() and not any(path.is_relative_to(each) for each in (_OURS, *_INSTALLED)):
            return f" ({path.name}, line {frame.lineno})"
    return ""
