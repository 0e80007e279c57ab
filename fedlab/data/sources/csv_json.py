"""Files with one example in each row: CSV and JSON."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fedlab.common.text_lines import numbered_lines
from fedlab.data.sources.base import Columns
from fedlab.errors import UserError


def read_csv(path: Path, column_names: Sequence[str] | None = None) -> Columns:
    """Read a CSV file; give `column_names` if it has no header line. All values are strings.

    Raises:
        UserError: a row and the header differ in length, or quotes do not match; the message names file and line.
    """
    reader = csv.reader((line for _, line in numbered_lines(path)), strict=True)
    try:
        names = list(column_names) if column_names else next(reader, [])
        rows = []
        for row in reader:
            if row and len(row) != len(names):
                raise UserError(
                    f"{path}, line {reader.line_num}: {len(row)} fields, expected {len(names)} ({', '.join(names)})"
                )
            rows.append(row)
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: not CSV: {error}") from error
    full = [row for row in rows if row]  # skips empty lines
    return {name: [row[i] for row in full] for i, name in enumerate(names)}


def read_json(path: Path) -> Columns:
    """Read JSON lines, or one JSON array of objects; keys that an object lacks are None.

    Raises:
        UserError: a line is not a JSON object; the message names file and line.
    """
    lines = list(numbered_lines(path))
    if next((line for _, line in lines if line.strip()), "").lstrip().startswith("["):
        items = enumerate(_parse(path, 1, "".join(line for _, line in lines)), start=1)
        objects = [(f"item {number}", value) for number, value in items]
    else:
        objects = [(f"line {number}", _parse(path, number, line.strip())) for number, line in lines if line.strip()]
    for place, value in objects:
        if not isinstance(value, dict):
            raise UserError(f"{path}, {place}: expected a JSON object, found {type(value).__name__}")
    names = dict.fromkeys(name for _, value in objects for name in value)
    return {name: [value.get(name) for _, value in objects] for name in names}


def _parse(path: Path, number: int, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, line {number + error.lineno - 1}: not JSON: {error.msg}") from error
