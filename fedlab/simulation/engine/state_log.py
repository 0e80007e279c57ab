"""The states of the clients between messages, in a file that is only ever appended to.

A round changes the states of its participants alone, so a checkpoint has to write those and nothing of the others,
however many clients there are and however large their states. The file is a row of entries: partition id and length
(two little-endian 64-bit integers), then the state. A later entry of a partition replaces an earlier one.
"""

import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedlab.common.durable import sync_folder

_HEADER = struct.Struct("<qq")
_SPARE_BYTES = 1 << 20  # a file is compacted when it is more than twice what it holds, and this


class StateLog:
    """States by partition id; what is not marked may be lost, what is marked can be restored."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._open(max(self._numbers(), default=-1) + 1, 0)  # what an earlier process marked may be restored yet

    def get(self, partition_id: int) -> bytes:
        """Return the state of a partition, empty if it has none."""
        start, length = self._entries.get(partition_id, (0, 0))
        self._file.seek(start)
        return self._file.read(length)

    def put(self, partition_id: int, state: bytes) -> None:
        """Replace the state of a partition."""
        if partition_id in self._entries and self.get(partition_id) == state:
            return
        self._file.seek(self._size)
        self._file.write(_HEADER.pack(partition_id, len(state)) + state)
        self._note(partition_id, len(state))

    def mark(self) -> dict[str, int]:
        """Sync everything to the disk and return what `restore` needs; what was marked before need not last."""
        for number in self._numbers():
            if number != self._number:
                self._path(number).unlink()
        if self._size > 2 * self._live + _SPARE_BYTES:
            self._rewrite()
        self._file.flush()
        os.fsync(self._file.fileno())
        sync_folder(self._folder)
        return {"file": self._number, "bytes": self._size}

    def restore(self, mark: Mapping[str, Any]) -> None:
        """Go back to a mark: what came after it is cut off."""
        self._file.close()
        self._open(int(mark["file"]), int(mark["bytes"]))

    def close(self) -> None:
        """Close the file; nothing may be kept afterwards."""
        self._file.close()

    def _open(self, number: int, size: int) -> None:
        """Open a file as it was when it had a size."""
        self._number = number
        self._file = self._path(number).open("a+b")
        self._file.truncate(size)
        self._entries: dict[int, tuple[int, int]] = {}  # partition to where its state starts, and its length
        self._size, self._live = 0, 0
        while self._size < size:
            self._file.seek(self._size)
            self._note(*_HEADER.unpack(self._file.read(_HEADER.size)))

    def _note(self, partition_id: int, length: int) -> None:
        """Count in an entry that begins at the end of those noted so far."""
        if partition_id in self._entries:
            self._live -= _HEADER.size + self._entries[partition_id][1]
        self._entries[partition_id] = (self._size + _HEADER.size, length)
        self._size += _HEADER.size + length
        self._live += _HEADER.size + length

    def _rewrite(self) -> None:
        """Go on in a new file without what has been replaced; the old one stays until the next mark."""
        old, entries = self._file, self._entries
        self._open(self._number + 1, 0)
        for partition_id, (start, length) in entries.items():
            old.seek(start)
            self.put(partition_id, old.read(length))
        old.close()

    def _numbers(self) -> list[int]:
        return [int(path.suffix[1:]) for path in self._folder.glob("states.*")]

    def _path(self, number: int) -> Path:
        return self._folder / f"states.{number}"
