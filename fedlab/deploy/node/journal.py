"""The journal of a node's traffic: the SuperNode writes it, the client app, another process, reads it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from fedlab.common.files import replace_text
from fedlab.messages.measurements import Upload


@dataclass(frozen=True, kw_only=True)
class Download:
    """A received order; `seconds` is the transfer time of its bytes, without the polls before it."""

    message_id: str
    num_bytes: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Journal:
    """The last order and the last reply that contained arrays, None before the first."""

    download: Download | None = None
    upload: Upload | None = None

    def download_seconds(self, message_id: str) -> float | None:
        """Return the transfer time of an order, None if it is not the last one."""
        found = self.download
        return found.seconds if found and found.message_id == message_id else None


def write_journal(path: Path, journal: Journal) -> None:
    """Write a journal atomically: a reader sees either the new or the old one."""
    replace_text(path, json.dumps(asdict(journal)), durable=False)  # of use to this process alone


def read_journal(path: Path) -> Journal:
    """Read a journal; it is empty if the file is missing or damaged, as measurements must not fail a run."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        download, upload = fields["download"], fields["upload"]
        return Journal(
            download=None if download is None else Download(**download),
            upload=None if upload is None else Upload(**upload),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return Journal()
