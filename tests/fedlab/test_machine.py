from types import SimpleNamespace

from fedlab import machine
from fedlab.machine import activation_room_bytes, available_memory_bytes

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
