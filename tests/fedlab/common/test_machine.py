import gc
import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest

from fedlab.common import machine
from fedlab.common.machine import activation_room_bytes, available_memory_bytes, uncollected, usable_cores

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


@pytest.fixture
def cores(monkeypatch, tmp_path):
    """Return a function that tells the cores of a process of eight, in the cgroup /batch/job, with these limits."""
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    own = tmp_path / "cgroup"
    own.write_text("0::/batch/job\n")

    def count(**files):
        for name, content in files.items():
            path = tmp_path / "fs" / name.replace("__", "/").replace("cpu_max", "cpu.max")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return usable_cores(cgroups=tmp_path / "fs", own_cgroup=own)

    return count


def test_a_process_may_use_the_cores_of_its_affinity(cores):
    assert cores() == 8
    assert cores(cpu_max="max 100000\n") == 8


def test_the_cgroup_of_a_process_limits_its_cores(cores):
    assert cores(batch__job__cpu_max="300000 100000\n") == 3


def test_so_do_those_above_it_and_the_lowest_limit_counts(cores):
    assert cores(batch__job__cpu_max="max 100000", batch__cpu_max="600000 100000", cpu_max="500000 100000") == 5


def test_part_of_a_core_counts_as_one(cores):
    assert cores(batch__cpu_max="150000 100000") == 2
    assert cores(batch__cpu_max="1000 100000") == 1


def test_limits_of_the_first_version_of_cgroups_count_too(cores, tmp_path):
    folder = tmp_path / "fs" / "cpu"
    folder.mkdir(parents=True)
    (folder / "cpu.cfs_period_us").write_text("100000\n")
    (folder / "cpu.cfs_quota_us").write_text("-1\n")
    assert cores() == 8
    (folder / "cpu.cfs_quota_us").write_text("200000\n")
    assert cores() == 2


def test_more_than_the_affinity_is_never_used(cores):
    assert cores(cpu_max="6400000 100000") == 8


def test_a_system_without_cgroups_is_asked_for_its_affinity(cores, tmp_path):
    assert usable_cores(cgroups=tmp_path / "none", own_cgroup=tmp_path / "none") == 8


def test_a_process_held_to_one_core_knows_it():
    program = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
    program += "from fedlab.common.machine import usable_cores; print(usable_cores())"
    ended = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert ended.stdout == "1\n"


@pytest.mark.parametrize("before", [True, False])
def test_the_search_for_garbage_pauses_in_the_block(before):
    try:
        if not before:
            gc.disable()
        with uncollected():
            assert not gc.isenabled()
        assert gc.isenabled() is before
    finally:
        gc.enable()
