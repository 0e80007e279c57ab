"""What all readers of data sets share: the columns they return. A reader is a function from a path to columns."""

from collections import Counter
from collections.abc import Iterable

from fedlab.errors import UserError

Columns = dict[str, list[object]]  # by column name; all lists have the same length


def refuse_repeated(place: object, names: Iterable[str]) -> None:
    """Raise a `UserError` that names a column which occurs more than once: nothing says which one is meant."""
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise UserError(f"{place}: two columns are named '{repeated[0]}': rename or remove one of them")
