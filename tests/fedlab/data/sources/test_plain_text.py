import pytest

from fedlab.config.schema import TaskTable
from fedlab.data.sources.files import load_local
from fedlab.data.sources.plain_text import read_plain_text
from fedlab.errors import UserError


def _read(folder, text):
    path = folder / "a.txt"
    path.write_bytes(text.encode())
    return read_plain_text(path)["text"]


def test_a_blank_line_ends_a_text_and_its_lines_keep_their_breaks(tmp_path):
    assert _read(tmp_path, "one\nmore of it\n\n \n\ntwo\n") == ["one\nmore of it", "two"]


def test_without_blank_lines_each_line_is_a_text(tmp_path):
    assert _read(tmp_path, "one\r\ntwo\r\n") == ["one", "two"]


def test_an_empty_file_has_no_text(tmp_path):
    assert _read(tmp_path, "\n\n") == []


def test_a_txt_file_is_plain_text_for_next_token_tasks_alone(tmp_path):
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    found = load_local(tmp_path / "a.txt", TaskTable(data="a.txt", kind="next-token"))
    assert found["train"]["text"] == ["one", "two"]
    with pytest.raises(UserError, match="does not show the format"):
        load_local(tmp_path / "a.txt", TaskTable(data="a.txt"))


def test_a_text_file_that_is_not_utf_8_is_refused_with_its_line(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"one\n\xff\n")
    with pytest.raises(UserError, match=r"a\.txt, line 2: not UTF-8"):
        read_plain_text(tmp_path / "a.txt")
