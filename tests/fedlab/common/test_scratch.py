import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from fedlab.common import scratch
from fedlab.common.scratch import end_processes_in, find_leftovers, remove_leftovers, scratch_folder, short_parent
from fedlab.errors import UserError


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """Make an empty folder for temporary files, which is the only one."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(scratch, "_ELSEWHERE", ())
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    return folder


@pytest.fixture
def killed(temporary):
    """Return a folder with 1000 bytes that a killed process left."""
    program = """
import sys, time
from fedlab.common.scratch import scratch_folder
with scratch_folder() as folder:
    (folder / "data").write_bytes(b"x" * 1000)
    print(folder, flush=True)
    time.sleep(600)
"""
    environment = os.environ | {"TMPDIR": str(temporary)}
    process = subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True)
    folder = Path(process.stdout.readline().strip())
    assert find_leftovers().folders == ()  # its owner lives
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert folder.is_dir()
    return folder


def test_a_scratch_folder_is_there_as_long_as_it_is_used(temporary):
    with scratch_folder("sweep-") as folder:
        assert folder.parent == temporary
        assert folder.name.startswith("fedlab-sweep-")
    assert list(temporary.iterdir()) == []


def test_what_a_killed_process_left_is_found_and_removed(killed, temporary):
    found = find_leftovers()
    assert (found.folders, found.size_bytes, found.processes) == ((killed,), 1000, ())
    assert remove_leftovers() == found
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("by", ["arguments", "environment"])
def test_processes_that_worked_in_the_folder_end_with_it(killed, by):
    words, environment = [sys.executable, "-c", "import time; time.sleep(600)"], dict(os.environ)
    if by == "arguments":
        words.append(f"--temp-dir={killed}/session")
    else:
        environment["FEDLAB_FOLDER_OF_RAY"] = f"{killed}/"
    with subprocess.Popen(words, env=environment) as process:
        time.sleep(0.2)  # its arguments are those of this process until it has begun
        assert remove_leftovers().processes == (process.pid,)
        assert process.wait(20) == -signal.SIGKILL


def test_processes_that_those_started_end_too_whatever_they_say_of_themselves(killed):
    program = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], env={"LANG": "C"})
print(child.pid, flush=True)
time.sleep(600)
"""
    words = [sys.executable, "-c", program, f"{killed}/session"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        child = int(process.stdout.readline())
        assert remove_leftovers().processes == tuple(sorted((process.pid, child)))
        assert process.wait(20) == -signal.SIGKILL
        assert process.stdout.read() == ""  # to its end, which comes when the child has ended, too


def test_processes_that_hold_a_file_there_open_end_too_though_those_that_started_them_have_ended(killed):
    program = f"""
import subprocess, sys
log = open("{killed}/agent.log", "w")
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], env={{"LANG": "C"}}, stderr=log)
print(child.pid, flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        child = int(process.stdout.readline())
        assert process.wait(20) == 0
        assert remove_leftovers().processes == (child,)
        assert process.stdout.read() == ""  # to its end, which comes when the child has ended, too


def test_a_process_can_end_those_in_a_folder_of_its_own_without_its_other_children(temporary):
    wait = "import time; time.sleep(600)"
    with scratch_folder() as mine, subprocess.Popen([sys.executable, "-c", wait]) as other:
        with subprocess.Popen([sys.executable, "-c", wait, f"{mine}/session"]) as inside:
            assert end_processes_in([mine]) == {inside.pid}
            assert inside.wait(20) == -signal.SIGKILL
        assert other.poll() is None
        other.kill()


def test_what_a_living_process_uses_stays(temporary):
    with scratch_folder() as mine:
        words = [sys.executable, "-c", "import time; time.sleep(600)", f"{mine}/session"]
        with subprocess.Popen(words) as process:
            assert remove_leftovers().folders == ()
            assert process.poll() is None
            process.kill()
        assert mine.is_dir()


def test_folders_of_others_stay(temporary):
    (temporary / "fedlab-notes").mkdir()  # without an owner's file
    (temporary / "other-abc").mkdir()
    (temporary / "other-abc" / ".owner").touch()
    assert remove_leftovers().folders == ()
    assert len(list(temporary.iterdir())) == 2


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"none: cannot make a folder for temporary files: No such file .*; set TMPDIR"):
        scratch_folder(parent=tmp_path / "none").__enter__()


def test_no_folder_for_temporary_files_is_one_line(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc/none"])
    with pytest.raises(UserError, match=r"^no folder for temporary files can be written to: .*; set TMPDIR$"):
        scratch_folder().__enter__()


def test_a_long_path_is_avoided_where_sockets_are(temporary, monkeypatch):
    monkeypatch.setattr(scratch, "_ELSEWHERE", ("/no/such", "/tmp"))
    assert short_parent(1000) == temporary
    assert short_parent(20) == Path("/tmp")


def test_no_short_path_is_one_line(temporary):
    with pytest.raises(UserError, match=r"^TMPDIR = .*: longer than 20 characters"):
        short_parent(20)
