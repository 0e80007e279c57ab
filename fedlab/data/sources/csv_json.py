"""Files with one example in each row: CSV and JSON."""

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fedlab.common.text_lines import numbered_lines
from fedlab.data.sources.base import Columns, refuse_repeated
from fedlab.errors import UserError

_DELIMITERS = {";": "';'", "\t": 'a tab ("\\t")', "|": "'|'", ",": "','"}
_LONGEST_FIELD = 2**31 - 1  # characters; Python's own limit of 131,072 is less than a long document
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def read_csv(path: Path, column_names: Sequence[str] | None = None, delimiter: str = ",") -> Columns:
    """Read a CSV file; give `column_names` if it has no header line. All values are strings.

    Blanks around a name in the header are dropped, and so are columns without a name, which spreadsheets append.

    Raises:
        UserError: a row and the header differ in length, a column is named twice, the fields have another delimiter, or
            quotes do not match; the message names file and line.
    """
    csv.field_size_limit(_LONGEST_FIELD)
    whole = 0
    reader = csv.reader((line for _, line in numbered_lines(path)), delimiter=delimiter, strict=True)
    try:
        names = list(column_names) if column_names else [name.strip() for name in next(reader, [])]
        if not names:
            raise UserError(f"{path}, line 1: is empty, expected the names of the columns")
        refuse_repeated(f"{path}, line 1", filter(None, names))
        if not column_names:
            _check_delimiter(path, 1, names, delimiter)
        whole = reader.line_num
        rows = []
        for row in reader:
            if row and len(row) != len(names):
                _check_delimiter(path, reader.line_num, row, delimiter)
                raise UserError(
                    f"{path}, line {reader.line_num}: {len(row)} fields, expected {len(names)} ({', '.join(names)})"
                    f"{f': quote a field that contains {delimiter!r}' if len(row) > len(names) else ''}"
                )
            rows.append(row)
            whole = reader.line_num
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: not CSV: {_csv_reason(error, whole)}") from error
    full = [row for row in rows if row]  # skips empty lines
    return {name: [row[i] for row in full] for i, name in enumerate(names) if name}


def _check_delimiter(path: Path, number: int, fields: Sequence[str], delimiter: str) -> None:
    """Raise a `UserError` that names the delimiter, if a line is one field that contains another delimiter."""
    found = next((each for each in _DELIMITERS if each != delimiter and len(fields) == 1 and each in fields[0]), None)
    if found is not None:
        raise UserError(
            f"{path}, line {number}: not separated by {_DELIMITERS.get(delimiter, repr(delimiter))} but, it seems, by"
            f" {_DELIMITERS[found]}: set task.delimiter"
        )


def _csv_reason(error: csv.Error, whole: int) -> str:
    """Return why a file is not CSV, whose lines up to `whole` are."""
    if "unexpected end of data" in str(error):
        return f"the file ends within quotes that open in line {whole + 1}: close them, or double a quote inside a text"
    if "new-line character" in str(error):
        return "a line ends in a carriage return alone: end lines with a line feed"
    return str(error)


def read_json(path: Path) -> Columns:
    """Read JSON lines, or one JSON array of objects; keys that an object lacks are None.

    Raises:
        UserError: a line is not a JSON object; the message names file and line.
    """
    lines = list(numbered_lines(path))
    if next((line for _, line in lines if line.strip()), "").lstrip().startswith("["):
        items = enumerate(_parse(path, 1, "".join(line for _, line in lines), f"{path}"), start=1)
        objects = [(f"item {number}", value) for number, value in items]
    else:
        objects = [(f"line {number}", _parse(path, number, line.strip())) for number, line in lines if line.strip()]
    escapes = any(_ESCAPED_SURROGATE.search(line) for _, line in lines)
    for place, value in objects:
        if not isinstance(value, dict):
            raise UserError(f"{path}, {place}: expected a JSON object, found {type(value).__name__}")
        if escapes:
            _check_unicode(path, place, value)
    names = dict.fromkeys(name for _, value in objects for name in value)
    return {name: [value.get(name) for _, value in objects] for name in names}


def _parse(path: Path, number: int, text: str, place: str = "") -> Any:
    where = place or f"{path}, line {number}"
    try:
        return json.loads(text, object_pairs_hook=lambda pairs: _distinct(where, pairs))
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, line {number + error.lineno - 1}: not JSON: {error.msg}") from error
    except (RecursionError, ValueError) as error:  # nested too deeply, a number with too many digits
        raise UserError(f"{where}: not JSON that can be read: {str(error)[:80]}") from error


def _distinct(where: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        refuse_repeated(where, (name for name, _ in pairs))
    return found


def _check_unicode(path: Path, place: str, value: dict[str, Any]) -> None:
    """Raise a `UserError` if a text has half of a surrogate pair, which is no character and no encoder accepts."""
    texts = json.dumps(value, ensure_ascii=False)
    if _SURROGATE.search(texts):
        raise UserError(
            f"{path}, {place}: broken Unicode: \\u{ord(_SURROGATE.findall(texts)[0]):x} is half of a character"
        )
