import pytest

from fedlab.data.sources.conll import read_conll
from fedlab.errors import UserError


def _read(folder, text):
    path = folder / "a.conll"
    path.write_text(text, encoding="utf-8")
    return read_conll(path)


def test_sentences_are_separated_by_lines_without_a_token(tmp_path):
    columns = _read(tmp_path, "Gardena\tB-location\n.\tO\n\t\n\n \nHi\tO\n")
    assert columns == {"tokens": [["Gardena", "."], ["Hi"]], "tags": [["B-location", "O"], ["O"]]}


def test_blanks_separate_the_fields_of_a_line_without_tabs(tmp_path):
    assert _read(tmp_path, "Redondo   B-location \nBeach I-location\n")["tags"] == [["B-location", "I-location"]]


def test_the_first_field_is_the_token_and_the_last_the_tag(tmp_path):
    columns = _read(tmp_path, "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\n")
    assert columns == {"tokens": [["EU"]], "tags": [["B-ORG"]]}


def test_a_token_without_a_tag_is_outside(tmp_path):
    assert _read(tmp_path, "alone\nempty\t\n")["tags"] == [["O", "O"]]


def test_a_tag_without_a_token_is_reported_with_its_line(tmp_path):
    with pytest.raises(UserError, match=r"a\.conll, line 2: a tag without a token"):
        _read(tmp_path, "a\tO\n\tB-x\n")


def test_a_file_without_sentences_is_reported(tmp_path):
    with pytest.raises(UserError, match=r"a\.conll: contains no sentence"):
        _read(tmp_path, "\n\n")
