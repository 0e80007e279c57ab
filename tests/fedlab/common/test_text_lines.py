import gzip

import pytest

from fedlab.common.text_lines import numbered_lines
from fedlab.errors import UserError


def test_lines_are_numbered_from_one_and_keep_their_ends(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\ntwo\r\nthree")
    assert list(numbered_lines(path)) == [(1, "one\n"), (2, "two\r\n"), (3, "three")]


def test_only_a_line_feed_ends_a_line(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("a\u2028b\x85c\n", encoding="utf-8")
    assert list(numbered_lines(path)) == [(1, "a\u2028b\x85c\n")]


def test_a_byte_order_mark_is_dropped(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbftext,label\n")
    assert list(numbered_lines(path)) == [(1, "text,label\n")]


def test_gzipped_files_are_read_as_if_they_were_plain(tmp_path):
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress("é\n".encode()))
    assert list(numbered_lines(path)) == [(1, "é\n")]


def test_bytes_that_are_not_utf8_are_reported_with_their_line(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"fine\n\xff\xfe\n")
    with pytest.raises(UserError, match=r"a\.txt, line 2: not UTF-8 text"):
        list(numbered_lines(path))


def test_a_torn_gzip_file_is_reported(tmp_path):
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(b"text\n" * 1000)[:30])
    with pytest.raises(UserError, match=r"a\.txt\.gz, after line \d+: cannot be read"):
        list(numbered_lines(path))
