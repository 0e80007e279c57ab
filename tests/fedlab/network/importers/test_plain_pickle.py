"""A pickle of plain data is read; nothing that stands in a pickle is ever run."""

import os
import pickle
import pickletools
from collections import OrderedDict

import numpy as np
import pytest

from fedlab.errors import UserError
from fedlab.network.importers.plain_pickle import load_plain

PLAIN = {1: {"name": "x", "values": [1, 2.5, -3, 10**30], "pair": (True, None)}, "two": {}}


class Command:
    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.fixture
def file(tmp_path):
    def write(content: bytes):
        (tmp_path / "data.pkl").write_bytes(content)
        return tmp_path / "data.pkl"

    return write


def refusal(path) -> str:
    with pytest.raises(UserError) as caught:
        load_plain(path)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_is_read_whatever_the_protocol(file, protocol):
    assert load_plain(file(pickle.dumps(PLAIN, protocol))) == PLAIN


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_command_in_a_pickle_is_refused_and_not_run(file, tmp_path, protocol):
    path = file(pickle.dumps([1, Command(tmp_path / "made")], protocol))
    assert refusal(path).startswith(f"{path}: not read, because it refers to posix.mkdir; accepted: pickles of plain")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("thing", [OrderedDict(a=1), np.float64(3), len, UserError], ids=repr)
def test_whatever_would_have_to_be_imported_is_refused(file, thing):
    assert "not read, because it refers to " in refusal(file(pickle.dumps({"a": thing})))


def test_a_reference_outside_the_file_is_refused(file):
    assert "outside the file" in refusal(file(b"Psomewhere\n."))


@pytest.mark.parametrize("length", range(0, len(pickle.dumps(PLAIN)), 7))
def test_a_pickle_that_was_cut_short_is_told(file, length):
    assert "not a pickle" in refusal(file(pickle.dumps(PLAIN)[:length]))


@pytest.mark.parametrize(
    "content", [b"partition_id,speed\n1,2\n", b"\x80\x05}(K\x01R.", b"\x80\x05K\x01)R.", b"\xff" * 40]
)
def test_what_is_no_pickle_is_told(file, content):
    assert "not a pickle" in refusal(file(content))


def test_a_missing_pickle_is_told(tmp_path):
    assert "cannot be read: No such file" in refusal(tmp_path / "none.pkl")


def test_the_command_would_have_run_in_a_plain_unpickler(tmp_path):
    # A test of the test: the pickle above does what it says where find_class is not refused.
    content = pickle.dumps(Command(tmp_path / "made"))
    assert any(operation.name == "REDUCE" for operation, _, _ in pickletools.genops(content))
    pickle.loads(content)
    assert (tmp_path / "made").is_dir()
