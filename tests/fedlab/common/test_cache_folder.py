import threading

import pytest

from fedlab.common.cache_folder import publish


def test_a_folder_is_written_once(tmp_path):
    calls = []

    def write(folder):
        calls.append(folder)
        (folder / "a").write_text("first")

    assert publish(tmp_path / "key", write) == publish(tmp_path / "key", write) == tmp_path / "key"
    assert len(calls) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_nothing_is_left_of_a_write_that_fails(tmp_path):
    def write(folder):
        (folder / "a").write_text("half")
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        publish(tmp_path / "key", write)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_is_not_taken_for_a_faster_process(tmp_path):
    def write(folder):
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        publish(tmp_path / "key", write)


def test_of_writers_at_the_same_time_one_wins_and_all_see_its_folder(tmp_path):
    together = threading.Barrier(4)

    def write(folder):
        (folder / "a").write_text("whole")
        together.wait()  # every writer has begun before any has ended

    threads = [threading.Thread(target=publish, args=(tmp_path / "key", write)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.name for path in tmp_path.iterdir()] == ["key"]
    assert (tmp_path / "key" / "a").read_text() == "whole"
