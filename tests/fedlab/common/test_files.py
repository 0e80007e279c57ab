"""A file is written whole, in place of another or to a new path alone."""

import os

import pytest

from fedlab.common.files import (
    check_regular,
    folder_size_bytes,
    parse_json,
    parse_toml,
    partial_of,
    provide_folder,
    read_text,
    refuse_existing,
    replace_text,
    replacing,
    write_new,
)
from fedlab.errors import UserError


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.txt", "cannot be read: No such file or directory"),
        (".", "cannot be read: Is a directory"),
        ("latin.txt", "cannot be read: not UTF-8 text"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(tmp_path, name, message):
    (tmp_path / "latin.txt").write_bytes(b"\xbd")
    with pytest.raises(UserError, match=f"{message}$"):
        read_text(tmp_path / name)


def test_a_text_takes_the_place_of_an_earlier_one_and_leaves_nothing_beside_it(tmp_path):
    for text in ("first", "second ½"):
        replace_text(tmp_path / "note.txt", text)
    assert read_text(tmp_path / "note.txt") == "second ½"
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


def test_until_it_is_whole_a_reader_sees_the_earlier_one(tmp_path):
    path = tmp_path / "note.txt"
    path.write_text("first")
    with replacing(path) as partial:
        partial.write_text("second")
        assert path.read_text() == "first"
    assert path.read_text() == "second"


def test_one_that_could_not_be_finished_leaves_the_earlier_one(tmp_path):
    path = tmp_path / "note.txt"
    path.write_text("first")

    def broken_off():
        with replacing(path) as partial:
            partial.write_text("sec")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken_off()
    assert path.read_text() == "first"
    assert partial_of(path).read_text() == "sec"


def test_a_new_file_is_written_with_its_folder(tmp_path):
    write_new(tmp_path / "new" / "note.txt", "mine")
    assert (tmp_path / "new" / "note.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["note.txt", "link.txt", "."])
@pytest.mark.parametrize("refusal", [refuse_existing, lambda path: write_new(path, "other")], ids=["asked", "written"])
def test_what_is_there_is_not_overwritten(tmp_path, name, refusal):
    (tmp_path / "note.txt").write_text("mine")
    (tmp_path / "link.txt").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="exists already and is not overwritten; choose another --out"):
        refusal(tmp_path / name)
    assert (tmp_path / "note.txt").read_text() == "mine"
    assert (tmp_path / "link.txt").is_symlink()


def test_a_place_that_cannot_be_written_is_told_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"note\.txt: cannot be written: File exists$"):
        write_new(tmp_path / "file" / "note.txt", "mine")


def test_a_folder_is_made_with_its_parents_and_left_as_it_is_if_it_is_there(tmp_path):
    for _ in range(2):
        provide_folder(tmp_path / "a" / "b", "--state a/b")
    assert (tmp_path / "a" / "b").is_dir()


def test_a_folder_that_cannot_be_made_is_told_in_the_users_words(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match=r"^--state file: cannot make this folder: File exists$"):
        provide_folder(tmp_path / "file", "--state file")


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("fedlab.common.files.os.access", lambda path, mode: False)
    with pytest.raises(UserError, match=r"^out: /runs: cannot write to this folder$"):
        provide_folder(tmp_path, "out: /runs")


def test_a_pipe_or_a_device_is_refused_before_it_is_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path.joinpath("/dev/zero")):
        with pytest.raises(UserError, match="a pipe, a socket or a device, expected a file"):
            read_text(path)


@pytest.mark.parametrize(
    ("name", "reason"), [("x" * 5000, "File name too long"), ("a\0b", "(stat: )?embedded null (byte|character)")]
)
def test_a_path_that_no_file_can_have_is_one_short_line(tmp_path, name, reason):
    with pytest.raises(UserError, match=f"cannot be read: {reason}") as caught:
        check_regular(tmp_path / name)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("parse", [parse_toml, parse_json])
@pytest.mark.parametrize("text", ["x = ", "x = " + "9" * 5000, "x = " + "[" * 100_000], ids=["cut", "digits", "deep"])
def test_what_cannot_be_parsed_is_one_short_line(parse, text):
    with pytest.raises(UserError, match=r"^place: ") as caught:
        parse(text if parse is parse_toml else text.removeprefix("x = "), "place")
    assert len(str(caught.value)) < 200


def test_the_size_of_a_folder_is_that_of_its_files_links_not_followed(tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / "one").write_bytes(b"x" * 10)
    (tmp_path / "below" / "two").write_bytes(b"x" * 30)
    (tmp_path / "link").symlink_to("one")
    assert folder_size_bytes(tmp_path) == 10 + 30 + len("one")
    assert folder_size_bytes(tmp_path / "missing") == 0
