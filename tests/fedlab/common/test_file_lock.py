import os
import signal
import subprocess
import sys

from fedlab.common.file_lock import holder_of, try_lock

HOLD = """
import sys, time
from fedlab.common.file_lock import try_lock
file = open(sys.argv[1], "ab")
print(try_lock(file), flush=True)
time.sleep(60)
"""


def test_a_file_is_locked_until_it_is_closed(tmp_path):
    with (tmp_path / "file").open("ab") as first, (tmp_path / "file").open("ab") as second:
        assert try_lock(first)
        assert not try_lock(second)
        assert holder_of(second) == os.getpid()
        first.close()
        assert holder_of(second) is None
        assert try_lock(second)


def test_a_process_that_is_killed_leaves_no_lock(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / "file"], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "True\n"
    with (tmp_path / "file").open("ab") as file:
        assert not try_lock(file)
        assert holder_of(file) == holder.pid
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        holder.stdout.close()
        assert try_lock(file)


def test_where_the_disk_has_no_locks_every_process_may_write(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", unsupported)
    with (tmp_path / "file").open("ab") as file:
        assert try_lock(file)
