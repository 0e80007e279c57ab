import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest

from fedlab.common import machine
from fedlab.common.machine import activation_room_bytes, available_memory_bytes

GIGABYTE = 2**30


def test_memory_that_only_caches_files_can_be_had(tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal: 24000 kB\nMemFree: 1000 kB\nMemAvailable: 20000 kB\n")

    assert available_memory_bytes(tmp_path / "meminfo") == 20000 * 1024


def test_a_system_that_does_not_tell_is_asked_for_its_free_pages(tmp_path):
    assert available_memory_bytes(tmp_path / "none") > 0


def test_activations_get_a_quarter_of_the_memory_shared_out(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "available_memory_bytes", lambda: 16 * GIGABYTE)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: SimpleNamespace(free=100 * GIGABYTE))

    assert activation_room_bytes(tmp_path) == 4 * GIGABYTE
    assert activation_room_bytes(tmp_path, sharers=2) == 2 * GIGABYTE


def test_activations_leave_half_of_a_small_disk(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(machine, "available_memory_bytes", lambda: 16 * GIGABYTE)
    monkeypatch.setattr(
        machine.shutil, "disk_usage", lambda path: asked.append(path) or SimpleNamespace(free=2 * GIGABYTE)
    )

    assert activation_room_bytes(tmp_path / "not" / "yet") == GIGABYTE
    assert asked == [tmp_path]


PAGES_OF_A_SECOND_ROUND = """
import resource
import numpy
from fedlab.common.machine import keep_freed_memory
{call}
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        numpy.ones(5_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries do as they like")
def test_a_process_that_keeps_what_it_frees_asks_for_no_new_pages():
    def pages(call):
        script = PAGES_OF_A_SECOND_ROUND.format(call=call)
        return int(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True).stdout)

    assert pages("keep_freed_memory()") < 100 < pages("")
