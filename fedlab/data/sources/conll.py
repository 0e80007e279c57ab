"""CoNLL files: one token and its tag on each line, an empty line between sentences."""

from collections.abc import Sequence
from pathlib import Path

from fedlab.common.text_lines import numbered_lines
from fedlab.data.sources.base import Columns
from fedlab.errors import UserError


def read_conll(path: Path, column_names: Sequence[str] | None = None) -> Columns:
    """Read sentences into columns of lists of equal length: `tokens` and `tags`, or those of `column_names`.

    Fields are separated by tabs, or by spaces if a line has no tab. Without `column_names` the first field is the
    token, the last its tag (CoNLL-2003 has others between them); a single field has the tag O. `-DOCSTART-` lines are
    skipped.

    Raises:
        UserError: a line has a tag without a token or, with `column_names`, another number of fields; the first column
            counts the tokens; or the file has no sentence. The message names the file and, if there is one, the line.
    """
    sentences: list[list[list[str]]] = [[]]
    for number, line in numbered_lines(path):
        if not line.strip():
            sentences.append([])
        elif not line.startswith("-DOCSTART-"):
            sentences[-1].append(_checked(path, number, _fields(line), column_names))
    full = [sentence for sentence in sentences if sentence]
    if not full:
        raise UserError(f"{path}: contains no sentence: expected a token, a tab and a tag on each line")
    if column_names:
        return {name: [[row[i] for row in sentence] for sentence in full] for i, name in enumerate(column_names)}
    if _counts_up(full):
        raise UserError(_numbered(path, len(full[0][0])))
    return {
        "tokens": [[row[0] for row in sentence] for sentence in full],
        "tags": [[(row[-1] if len(row) > 1 else "") or "O" for row in sentence] for sentence in full],
    }


def _fields(line: str) -> list[str]:
    return [field.strip() for field in line.split("\t")] if "\t" in line else line.split()


def _checked(path: Path, number: int, fields: list[str], column_names: Sequence[str] | None) -> list[str]:
    if column_names and len(fields) != len(column_names):
        expected = f"{len(column_names)} (task.column_names)"
        raise UserError(f"{path}, line {number}: {len(fields)} fields, expected {expected}: {' '.join(fields)[:60]!r}")
    if not column_names and not fields[0]:
        raise UserError(f"{path}, line {number}: a tag without a token: {fields[-1]!r}")
    return fields


def _counts_up(sentences: Sequence[Sequence[Sequence[str]]]) -> bool:
    """Tell whether the first column counts: the tokens of each sentence, or of all, from 0 or 1."""
    first = [[row[0] for row in sentence] for sentence in sentences]
    together = [token for sentence in first for token in sentence]
    if len(together) < 3 or not all(token.isdecimal() for token in together):
        return False
    return all(any(_is_run(part, start) for start in (0, 1)) for part in first) or any(
        _is_run(together, start) for start in (0, 1)
    )


def _is_run(tokens: Sequence[str], start: int) -> bool:
    return all(int(token) == number for number, token in enumerate(tokens, start))


def _numbered(path: Path, columns: int) -> str:
    names = ["index", "tokens", *(f"column{number}" for number in range(3, columns)), "tags"][: max(2, columns)]
    example = ", ".join(f'"{name}"' for name in names)
    return (
        f"{path}: the first column counts up (1, 2, 3) and is not the token: name all {columns} columns in"
        f" task.column_names, such as [{example}], and set task.text and task.label to two of them"
    )
