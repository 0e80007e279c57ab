"""The states of the clients between messages, in a file that is only ever appended to.

A round changes the states of its participants alone, so a checkpoint has to write those and nothing of the others,
however many clients there are and however large their states. The file is a row of entries: partition id and length
(two little-endian 64-bit integers), the CRC-32 of the state (32 bits), then the state. A later entry of a partition
replaces an earlier one.
"""

import os
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedlab.common.durable import sync_folder
from fedlab.errors import DamagedError

_HEADER = struct.Struct("<qqI")
_SPARE_BYTES = 1 << 20  # a file is compacted when it is more than twice what it holds, and this


class StateLog:
    """States by partition id; what is not marked may be lost, what is marked can be restored."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._open(max(self._numbers(), default=-1) + 1, 0)  # what an earlier process marked may be restored yet

    def get(self, partition_id: int) -> bytes:
        """Return the state of a partition, empty if it has none; raises `DamagedError` if it is not what was put."""
        if partition_id not in self._entries:
            return b""
        start, length, checksum = self._entries[partition_id]
        self._file.seek(start)
        state = self._file.read(length)
        if len(state) != length or zlib.crc32(state) != checksum:
            raise self._damaged(f"the state of client {partition_id} has been changed")
        return state

    def put(self, partition_id: int, state: bytes) -> None:
        """Replace the state of a partition."""
        if partition_id in self._entries and self.get(partition_id) == state:
            return
        self._file.seek(self._size)
        checksum = zlib.crc32(state)
        self._file.write(_HEADER.pack(partition_id, len(state), checksum) + state)
        self._note(partition_id, len(state), checksum)

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
        """Go back to a mark: what came after it is cut off.

        Raises:
            DamagedError: the file is missing, shorter than the mark, or holds something else.
        """
        self._file.close()
        number, size = int(mark["file"]), int(mark["bytes"])
        path = self._path(number)
        if size and not (path.is_file() and path.stat().st_size >= size):
            raise DamagedError(f"{path}: missing, or shorter than the checkpoint says; the run cannot be resumed")
        self._open(number, size)

    def close(self) -> None:
        """Close the file; nothing may be kept afterwards."""
        self._file.close()

    def _open(self, number: int, size: int) -> None:
        """Open a file as it was when it had a size."""
        self._number = number
        self._file = self._path(number).open("a+b")
        self._file.truncate(size)
        # From the partition to where its state starts, its length and its checksum.
        self._entries: dict[int, tuple[int, int, int]] = {}
        self._size, self._live = 0, 0
        while self._size < size:
            self._file.seek(self._size)
            header = self._file.read(_HEADER.size)
            partition_id, length, checksum = _HEADER.unpack(header) if len(header) == _HEADER.size else (0, -1, 0)
            if not 0 <= length <= size - self._size - _HEADER.size:
                raise self._damaged("is not a file of clients' states, or has been changed")
            self._note(partition_id, length, checksum)

    def _damaged(self, what: str) -> DamagedError:
        return DamagedError(f"{self._path(self._number)}: {what}; the run cannot be resumed")

    def _note(self, partition_id: int, length: int, checksum: int) -> None:
        """Count in an entry that begins at the end of those noted so far."""
        if partition_id in self._entries:
            self._live -= _HEADER.size + self._entries[partition_id][1]
        self._entries[partition_id] = (self._size + _HEADER.size, length, checksum)
        self._size += _HEADER.size + length
        self._live += _HEADER.size + length

    def _rewrite(self) -> None:
        """Go on in a new file without what has been replaced; the old one stays until the next mark."""
        old, entries = self._file, self._entries
        self._open(self._number + 1, 0)
        for partition_id, (start, length, _) in entries.items():
            old.seek(start)
            self.put(partition_id, old.read(length))
        old.close()

    def _numbers(self) -> list[int]:
        return [int(path.suffix[1:]) for path in self._folder.glob("states.*") if path.suffix[1:].isdecimal()]

    def _path(self, number: int) -> Path:
        return self._folder / f"states.{number}"
