"""Plain text files: a blank line ends a text; in a file without blank lines, each line is one."""

from pathlib import Path

from fedlab.common.text_lines import numbered_lines
from fedlab.data.sources.base import Columns

TEXT = "text"  # the only column


def read_plain_text(path: Path) -> Columns:
    """Read the texts of a UTF-8 file; the lines of one text keep their breaks."""
    lines = [line.rstrip("\r\n") for _, line in numbered_lines(path)]
    paragraphs = "\n".join(line if line.strip() else "" for line in lines).strip("\n").split("\n\n")
    texts = paragraphs if len(paragraphs) > 1 else lines
    return {TEXT: [text.strip("\n") for text in texts if text.strip()]}
