"""Numbered lines of a text file, plain or gzipped, so that errors can name the line."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

from fedlab.common.files import check_regular
from fedlab.errors import UserError


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, line with its line end) of a UTF-8 file; a byte order mark is dropped.

    Lines end at a line feed only: social media text contains other characters that Python treats as line ends.

    Raises:
        UserError: the file is missing, not UTF-8, or a broken gzip file; the message names file and line.
    """
    number = 0
    check_regular(path)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}, line {number}: not UTF-8 text ({error.reason}): save it as UTF-8") from error
    except (EOFError, zlib.error, OSError) as error:
        raise UserError(f"{path}, after line {number}: cannot be read: {error}") from error
