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


@pytest.mark.parametrize(
    "text",
    [
        "1\tEU\tB-ORG\n2\tsaid\tO\n\n1\tHi\tO\n",
        "0 EU B-ORG\n1 said O\n\n0 Hi O\n",
        "1\tEU\tB-ORG\n2\tsaid\tO\n\n3\tHi\tO\n",
    ],
)
def test_a_first_column_that_counts_up_is_refused_with_the_key_to_set(tmp_path, text):
    message = r'a\.conll: the first column counts up.*task\.column_names, such as \["index", "tokens", "tags"\]'
    with pytest.raises(UserError, match=message):
        _read(tmp_path, text)
    named = read_conll(tmp_path / "a.conll", ["index", "tokens", "tags"])
    assert (named["tokens"], named["tags"]) == ([["EU", "said"], ["Hi"]], [["B-ORG", "O"], ["O"]])


def test_numbers_that_do_not_count_up_are_tokens(tmp_path):
    assert _read(tmp_path, "1\tO\n\n1\tO\n1\tO\n")["tokens"] == [["1"], ["1", "1"]]


def test_with_named_columns_every_line_has_as_many_fields(tmp_path):
    path = tmp_path / "a.conll"
    path.write_text("1\tEU\tB-ORG\n2\tsaid\n")
    with pytest.raises(UserError, match=r"a\.conll, line 2: 2 fields, expected 3 \(task\.column_names\): '2 said'"):
        read_conll(path, ["index", "tokens", "tags"])


def test_windows_line_ends_and_a_byte_order_mark_are_not_part_of_tokens_and_tags(tmp_path):
    path = tmp_path / "a.conll"
    path.write_bytes(b"\xef\xbb\xbfEU\tB-ORG\r\nsaid O\r\n\r\nHi\tO\r\n")
    assert read_conll(path) == {"tokens": [["EU", "said"], ["Hi"]], "tags": [["B-ORG", "O"], ["O"]]}


def test_a_file_without_sentences_is_reported(tmp_path):
    with pytest.raises(UserError, match=r"a\.conll: contains no sentence"):
        _read(tmp_path, "\n\n")
