"""What a SuperNode notes of its traffic, for the client it starts to read: two processes, one small file."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from fedlab.common.files import replace_text
from fedlab.messages.measurements import Upload


@dataclass(frozen=True, kw_only=True)
class Download:
    """An order that has come in; `seconds` are those its bytes were on the way, without waiting for there to be one."""

    message_id: str
    num_bytes: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Journal:
    """The last order and the last reply with arrays in it, None where there was none."""

    download: Download | None = None
    upload: Upload | None = None

    def download_seconds(self, message_id: str) -> float | None:
        """Return how long an order took to come in, None if it is not the last."""
        found = self.download
        return found.seconds if found and found.message_id == message_id else None


def write_journal(path: Path, journal: Journal) -> None:
    """Write a journal; a reader sees the whole of it or the last one."""
    replace_text(path, json.dumps(asdict(journal)))


def read_journal(path: Path) -> Journal:
    """Read a journal; an empty one if there is none that can be read, for measures are worth no failure."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        download, upload = fields["download"], fields["upload"]
        return Journal(
            download=None if download is None else Download(**download),
            upload=None if upload is None else Upload(**upload),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return Journal()
