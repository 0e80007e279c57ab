"""Pickles of plain data, read without running any code in them."""

import pickle
from pathlib import Path
from typing import Any, NoReturn

from fedlab.common.files import check_regular
from fedlab.common.short_text import raised
from fedlab.errors import UserError


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> NoReturn:
        """Refuse every object that is not plain data: a pickle runs code by looking one up."""
        raise UserError(f"it refers to {module}.{name}")

    def persistent_load(self, reference: object) -> NoReturn:
        """Refuse references to objects outside the file."""
        raise UserError("it refers to something outside the file")


def load_plain(path: Path) -> Any:
    """Return the data of a pickle that consists only of dictionaries, lists, tuples, text and numbers.

    Raises:
        UserError: the file cannot be read, is not a pickle, or refers to anything that would have to be imported.
    """
    check_regular(path)
    try:
        with path.open("rb") as stream:
            return _PlainUnpickler(stream, encoding="latin1").load()
    except UserError as error:
        raise UserError(
            f"{path}: not read, because {error}; accepted: pickles of plain containers and numbers"
        ) from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except Exception as error:  # a damaged pickle may fail in any way
        raise UserError(f"{path}: not a pickle: {raised(error)}") from error
