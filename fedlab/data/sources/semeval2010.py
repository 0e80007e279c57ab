"""The file format of SemEval-2010 task 8: relations between two marked nominals (Hendrickx et al., 2010).

An example is a line `number<TAB>"sentence"`, a line with the relation, and a line `Comment: ...`.
"""

import re
from pathlib import Path

from fedlab.common.text_lines import numbered_lines
from fedlab.data.sources.base import Columns
from fedlab.errors import UserError

_SENTENCE = re.compile(r'^(\d+)\s+"(.*)"$')


def read_semeval2010(path: Path) -> Columns:
    """Read the columns `text`, with its <e1> and <e2> marks, and `label`, the relation and its direction.

    Raises:
        UserError: a line does not follow the format; the message names file and line.
    """
    lines = [(number, line.strip()) for number, line in numbered_lines(path) if line.strip()]
    examples = [(number, line) for number, line in lines if not line.startswith("Comment:")]
    texts = [_sentence(path, number, line) for number, line in examples[::2]]
    labels = [_relation(path, number, line) for number, line in examples[1::2]]
    if not texts or len(labels) < len(texts):
        raise UserError(f"{path}, line {lines[-1][0] if lines else 1}: the file ends where a relation should follow")
    return {"text": list(texts), "label": list(labels)}


def _sentence(path: Path, number: int, line: str) -> str:
    match = _SENTENCE.match(line)
    if match is None:
        raise UserError(f'{path}, line {number}: expected a number, a tab and a "sentence", found {line[:40]!r}')
    return match.group(2)


def _relation(path: Path, number: int, line: str) -> str:
    if _SENTENCE.match(line) or " " in line:
        raise UserError(f"{path}, line {number}: expected a relation such as Cause-Effect(e1,e2), found {line[:40]!r}")
    return line
