import pytest

from fedlab.data.sources.semeval2010 import read_semeval2010
from fedlab.errors import UserError

_FILE = (
    '1\t"The <e1>child</e1> was put into the <e2>cradle</e2>."\r\nEntity-Destination(e1,e2)\r\nComment:\r\n\r\n'
    '2\t"He said "no" to <e1>a</e1> and <e2>b</e2>."\nOther\nComment: none, really\n'
)


def _read(folder, text):
    path = folder / "TRAIN_FILE.TXT"
    path.write_bytes(text.encode())
    return read_semeval2010(path)


def test_sentences_keep_their_marks_and_lose_their_quotes(tmp_path):
    assert _read(tmp_path, _FILE) == {
        "text": ["The <e1>child</e1> was put into the <e2>cradle</e2>.", 'He said "no" to <e1>a</e1> and <e2>b</e2>.'],
        "label": ["Entity-Destination(e1,e2)", "Other"],
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hello\nOther\n", r"line 1: expected a number, a tab and a \"sentence\", found 'hello'"),
        ('1\t"a"\n2\t"b"\n', r"line 2: expected a relation"),
        ('1\t"a"\nOther\nComment:\n\n2\t"b"\n', r"line 5: the file ends where a relation should follow"),
        ("", r"line 1: the file ends"),
    ],
)
def test_a_line_out_of_place_is_reported(tmp_path, text, message):
    with pytest.raises(UserError, match=rf"TRAIN_FILE\.TXT, {message}"):
        _read(tmp_path, text)
