"""CoNLL files: one token and its tag on each line, an empty line between sentences."""

from pathlib import Path

from fedlab.common.text_lines import numbered_lines
from fedlab.data.sources.base import Columns
from fedlab.errors import UserError


def read_conll(path: Path) -> Columns:
    """Read sentences into the columns `tokens` and `tags`, lists of equal length.

    Fields are separated by tabs, or by spaces if a line has no tab. The first field is the token, the last its tag
    (CoNLL-2003 has others between them); a single field has the tag O. `-DOCSTART-` lines are skipped.

    Raises:
        UserError: a line has a tag without a token, or the file has no sentence; the message names file and line.
    """
    sentences: list[list[tuple[str, str]]] = [[]]
    for number, line in numbered_lines(path):
        if not line.strip():
            sentences.append([])
        elif not line.startswith("-DOCSTART-"):
            sentences[-1].append(_token_and_tag(path, number, line))
    full = [sentence for sentence in sentences if sentence]
    if not full:
        raise UserError(f"{path}: contains no sentence: expected a token, a tab and a tag on each line")
    return {
        "tokens": [[token for token, _ in sentence] for sentence in full],
        "tags": [[tag for _, tag in sentence] for sentence in full],
    }


def _token_and_tag(path: Path, number: int, line: str) -> tuple[str, str]:
    fields = [field.strip() for field in line.split("\t")] if "\t" in line else line.split()
    if not fields[0]:
        raise UserError(f"{path}, line {number}: a tag without a token: {line.strip()!r}")
    return fields[0], (fields[-1] if len(fields) > 1 else "") or "O"
