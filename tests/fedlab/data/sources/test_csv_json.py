import pytest

from fedlab.data.sources.csv_json import read_csv, read_json
from fedlab.errors import UserError


def _file(folder, name, text):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_csv_file_has_the_columns_of_its_header(tmp_path):
    path = _file(tmp_path, "a.csv", 'text,label\n"a, ""quoted"" text",1\nplain,2\n')
    assert read_csv(path) == {"text": ['a, "quoted" text', "plain"], "label": ["1", "2"]}


def test_a_csv_file_without_a_header_takes_the_names_given(tmp_path):
    assert read_csv(_file(tmp_path, "a.csv", "1,a\n2,b\n"), ["label", "text"]) == {
        "label": ["1", "2"],
        "text": ["a", "b"],
    }


def test_fields_may_run_over_lines_and_empty_lines_are_no_rows(tmp_path):
    path = _file(tmp_path, "a.csv", 'text,label\n"two\nlines",x\n\nb,y\n')
    assert read_csv(path) == {"text": ["two\nlines", "b"], "label": ["x", "y"]}


def test_a_csv_row_of_another_length_is_reported_with_its_line(tmp_path):
    path = _file(tmp_path, "a.csv", "text,label\na,x\nb,y,z\n")
    with pytest.raises(UserError, match=r"a\.csv, line 3: 3 fields, expected 2 \(text, label\): quote a field that"):
        read_csv(path)


def test_a_csv_quote_that_is_not_closed_is_reported_with_its_line(tmp_path):
    path = _file(tmp_path, "a.csv", 'text,label\n"a\nb",x\n"c,y\nd,x\n')
    with pytest.raises(UserError, match=r"not CSV: the file ends within quotes that open in line 4: close them"):
        read_csv(path)


@pytest.mark.parametrize("text", ["", "\n", "\ntext,label\na,x\n"])
def test_a_csv_file_without_a_first_line_is_refused(tmp_path, text):
    with pytest.raises(UserError, match=r"a\.csv, line 1: is empty, expected the names of the columns"):
        read_csv(_file(tmp_path, "a.csv", text))


def test_a_column_named_twice_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"a\.csv, line 1: two columns are named 'label'"):
        read_csv(_file(tmp_path, "a.csv", "text,label,label \na,x,y\n"))
    with pytest.raises(UserError, match=r"a\.jsonl, line 2: two columns are named 'label'"):
        read_json(_file(tmp_path, "a.jsonl", '{"text": "a", "label": 1}\n{"text": "a", "label": 1, "label": 2}\n'))


def test_columns_without_a_name_are_dropped(tmp_path):
    assert read_csv(_file(tmp_path, "a.csv", ",text, label,,\n0,a,x,,\n")) == {"text": ["a"], "label": ["x"]}


def test_a_field_may_be_longer_than_pythons_limit(tmp_path):
    path = _file(tmp_path, "a.csv", f"text,label\n{'word ' * 100_000},x\n")
    assert len(read_csv(path)["text"][0]) == 500_000


def test_spreadsheets_byte_order_mark_and_line_ends_are_not_part_of_the_data(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b'\xef\xbb\xbftext,label\r\n"a, b",x\r\nc,y\r\n')
    assert read_csv(path) == {"text": ["a, b", "c"], "label": ["x", "y"]}


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_a_file_with_another_delimiter_is_read_with_it_and_says_so_without(tmp_path, delimiter):
    path = _file(tmp_path, "a.csv", f"text{delimiter}label\na, b{delimiter}x\n")
    assert read_csv(path, delimiter=delimiter) == {"text": ["a, b"], "label": ["x"]}
    with pytest.raises(UserError, match=r"a\.csv, line 1: not separated by ',' but, it seems, by .*: set task\.delim"):
        read_csv(path)


def test_a_file_without_a_header_says_so_too(tmp_path):
    with pytest.raises(UserError, match=r"a\.csv, line 1: not separated by ',' .* by ';': set task\.delimiter"):
        read_csv(_file(tmp_path, "a.csv", "a;x\n"), ["text", "label"])


def test_carriage_returns_alone_are_named(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"text,label\ra,x\r")
    with pytest.raises(UserError, match=r"a\.csv, line \d: not CSV: a line ends in a carriage return alone"):
        read_csv(path)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"text": "a"}\n{"text": "b", "more": ["\\ud800"]}\n', "line 2"),
        ('[{"text": "a"},\n {"text": "\\uDC00b"}]', "item 2"),
    ],
)
def test_half_a_character_in_json_is_named_with_its_place(tmp_path, text, place):
    with pytest.raises(UserError, match=rf"a\.jsonl, {place}: broken Unicode: \\ud[8c]00 is half of a character"):
        read_json(_file(tmp_path, "a.jsonl", text))


def test_whole_characters_may_be_escaped(tmp_path):
    assert read_json(_file(tmp_path, "a.jsonl", '{"text": "\\ud83d\\ude00"}\n')) == {"text": ["\U0001f600"]}


def test_json_lines_lacking_a_key_have_none_there(tmp_path):
    path = _file(tmp_path, "a.jsonl", '{"text": "a", "label": 1}\n\n{"text": "b", "extra": [2]}\n')
    assert read_json(path) == {"text": ["a", "b"], "label": [1, None], "extra": [None, [2]]}


def test_a_json_array_of_objects_is_read_too(tmp_path):
    path = _file(tmp_path, "a.json", '\n[\n {"text": "a"},\n {"text": "b"}\n]\n')
    assert read_json(path) == {"text": ["a", "b"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1}\n{"a": \n', r"line 2: not JSON"),
        ('{"a": 1}\n\n3\n', r"line 3: expected a JSON object, found int"),
        ('[{"a": 1},\n {"a" 2}]', r"line 2: not JSON"),
        ("[1]", r"item 1: expected a JSON object, found int"),
    ],
)
def test_what_is_not_a_json_object_is_reported_with_its_place(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        read_json(_file(tmp_path, "a.jsonl", text))
