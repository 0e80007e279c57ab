"""A disk that loses in a power failure what was not synced. No test, and not in the path: see `conftest.lossy_disk`."""

import os
import stat
from pathlib import Path


class PowerFailure(BaseException):
    """The moment of it."""


class LossyDisk:
    """What of a folder has been synced since it was mounted; what was there before counts as synced.

    While it is mounted, `os.fsync` notes what is synced instead of doing it. At step number `fails_at`, counted from 1
    over syncs, renames and deletions, the power fails.
    """

    def __init__(self, root, monkeypatch, *, fails_at=None):
        self._root, self._fails_at, self.steps = Path(root), fails_at, 0
        self._contents, self._names = {}, {}  # of files and folders, by inode
        self._held = []  # open descriptors, so that no inode is used again
        for folder, _, files in os.walk(root):
            for place in (folder, *(os.path.join(folder, file) for file in files)):
                self._note(place)
        monkeypatch.setattr("os.fsync", self._fsync)
        for name in ("replace", "rename", "unlink", "remove", "rmdir"):
            monkeypatch.setattr(f"os.{name}", self._counted(getattr(os, name)))

    def survivors(self, into, *, names_kept):
        """Write into a folder what a power failure leaves, and return it.

        File systems keep the order of names and contents apart: `names_kept` says whether names that were not synced
        survive, without the contents, or are lost as well.
        """
        into = Path(into)
        into.mkdir(parents=True)
        self._restore(os.stat(self._root).st_ino, self._root, into, names_kept)
        return into

    def _restore(self, inode, place, into, names_kept):
        names = self._listed(place) if names_kept else self._names.get(inode, {})
        for name, (each, is_folder) in names.items():
            if is_folder:
                (into / name).mkdir()
                self._restore(each, place / name, into / name, names_kept)
            else:
                (into / name).write_bytes(self._contents.get(each, b""))

    def _fsync(self, descriptor):
        self._step()
        self._note(f"/proc/self/fd/{descriptor}")

    def _note(self, place):
        found = os.stat(place)
        self._held.append(os.open(place, os.O_RDONLY))
        if stat.S_ISDIR(found.st_mode):
            self._names[found.st_ino] = self._listed(place)
            self._held += [os.open(each, os.O_RDONLY) for each in os.scandir(place)]
        else:
            self._contents[found.st_ino] = Path(place).read_bytes()

    def _listed(self, place):
        return {each.name: (each.stat().st_ino, each.is_dir()) for each in os.scandir(place)}

    def _counted(self, call):
        def counted(*arguments, **options):
            self._step()
            return call(*arguments, **options)

        return counted

    def _step(self):
        self.steps += 1
        if self.steps == self._fails_at:
            raise PowerFailure

    def close(self):
        for descriptor in self._held:
            os.close(descriptor)
