import io
import json
import os
import signal
import subprocess
import sys

import pytest

from fedlab.common import watcher
from fedlab.common.watcher import watch

NOBODY = 2**30  # above the largest process id of Linux


@pytest.fixture
def cleaned(monkeypatch):
    calls = []
    monkeypatch.setattr(watcher, "remove_leftovers", lambda: calls.append(1))
    return calls


def channel(*lines):
    return io.StringIO("".join(json.dumps(line) + "\n" for line in lines))


def test_a_process_that_was_killed_is_cleaned_up_after_and_has_last_words(cleaned):
    stderr = io.StringIO()
    watch(channel("first", "resume with: x"), stderr, NOBODY)
    assert (stderr.getvalue(), cleaned) == ("fedlab: resume with: x\n", [1])


def test_it_cleans_up_only_when_the_other_process_has_ended(cleaned, monkeypatch):
    waited = []
    monkeypatch.setattr(watcher.os, "getppid", lambda: 7 if len(waited) < 3 else 1)
    monkeypatch.setattr(watcher, "pause", lambda seconds: waited.append(len(cleaned)))
    watch(channel("first"), io.StringIO(), 7)
    assert (waited, cleaned) == ([0, 0, 0], [1])


def test_a_process_that_ends_by_itself_says_its_own_last_words(cleaned):
    stderr = io.StringIO()
    watch(channel("resume with: x", "end"), stderr, NOBODY)
    assert (stderr.getvalue(), cleaned) == ("", [])


PROGRAM = """
import time
from fedlab.common.scratch import scratch_folder
from fedlab.common.watcher import Watcher
with Watcher("first") as watcher, scratch_folder() as folder:
    watcher.last_words("go on with: that")
    print(folder, flush=True)
    {then}
"""


@pytest.mark.parametrize(
    ("then", "said"), [("time.sleep(600)", "fedlab: go on with: that\n"), ("pass", "")], ids=["killed", "ended"]
)
def test_a_killed_process_leaves_its_last_words_and_nothing_else(tmp_path, then, said):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(then=then)],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.readline()
    if said:
        process.send_signal(signal.SIGKILL)
    assert process.communicate(timeout=60)[1] == said  # the watcher has ended, too: it held the other end
    assert list(tmp_path.iterdir()) == []
