import math

import datasets
import pytest

from fedlab.config.schema import Partition, TaskTable
from fedlab.data.examples import Examples, LeftOut, read_examples
from fedlab.errors import UserError


def _read(columns, split="train", features=None, **table):
    dataset = datasets.Dataset.from_dict(columns, features=features)
    return read_examples(dataset, TaskTable(**table), split)


def test_text_columns_are_joined_by_a_blank_and_labels_are_strings():
    examples = _read({"title": ["a", None], "body": ["b", "c"], "class": [3, 4]}, text=["title", "body"], label="class")
    assert examples.texts == ["a b", "c"]
    assert examples.labels == ["3", "4"]


def test_examples_without_text_are_left_out_with_their_labels():
    examples = _read({"text": ["a", " ", None, "b"], "label": ["x", "y", None, "z"]})
    assert (examples.texts, examples.labels) == (["a", "b"], ["x", "z"])


@pytest.mark.parametrize("missing", [None, "", "  ", "\t", "NaN", "nan"])
def test_examples_without_a_label_are_left_out_and_counted(missing):
    examples = _read({"text": ["a", "b", "", "c"], "label": ["x", missing, missing, "y"]})
    assert (examples.texts, examples.labels) == (["a", "c"], ["x", "y"])
    assert examples.left_out == LeftOut(no_text=1, no_label=1)


def test_numbers_that_are_nan_are_missing_as_labels_and_as_texts():
    examples = _read({"text": ["a", "b"], "more": [1.5, math.nan], "label": [2.0, math.nan]}, text=["text", "more"])
    assert (examples.texts, examples.labels) == (["a 1.5"], ["2.0"])
    assert examples.left_out == LeftOut(no_label=1)


def test_a_sentence_with_a_missing_tag_is_left_out_and_counted():
    columns = {"text": [["a", "b"], ["c"], ["d", None]], "label": [["O", None], ["B-x "], ["O", "O"]]}
    examples = _read(columns, kind="tagging")
    assert (examples.texts, examples.labels) == ([["c"], ["d", ""]], [["B-x"], ["O", "O"]])
    assert examples.left_out == LeftOut(no_label=1)


def test_labels_that_differ_in_blanks_alone_are_one():
    examples = _read({"text": list("abcd"), "label": ["late night", " late night", "late  night\u00a0", "day"]})
    assert examples.labels == ["late night"] * 3 + ["day"]


def test_a_header_that_begins_with_a_hash_is_read_by_its_name():
    assert _read({"#text": ["a"], "label": ["x"]}).texts == ["a"]
    assert _read({"# text": ["a"], "label": ["x"]}).texts == ["a"]
    assert _read({"#text": ["a"], "text": ["b"], "label": ["x"]}).texts == ["b"]


def test_declared_labels_are_read_by_name():
    features = datasets.Features(text=datasets.Value("string"), label=datasets.ClassLabel(names=["no", "yes"]))
    assert _read({"text": ["a", "b"], "label": [1, 0]}, features=features).labels == ["yes", "no"]


def test_declared_tags_are_read_by_name():
    tags = datasets.Sequence(datasets.ClassLabel(names=["O", "B-x"]))
    features = datasets.Features(tokens=datasets.Sequence(datasets.Value("string")), ner=tags)
    columns = {"tokens": [["a", "b"], []], "ner": [[0, 1], []]}
    examples = _read(columns, features=features, kind="tagging", text="tokens", label="ner")
    assert examples == Examples(texts=[["a", "b"]], labels=[["O", "B-x"]])


def test_ids_of_clients_are_read_for_training_alone():
    columns = {"text": ["a", "", "b"], "label": ["x", "x", "y"], "user": [7, 8, 9]}
    partition = Partition(scheme="natural", column="user")
    assert _read(columns, partition=partition).client_ids == [7, 9]
    assert _read(columns, split="test", partition=partition).client_ids is None


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"text": "txt"}, r"task.text: no column 'txt' in split 'train': did you mean 'text'\? accepted: label, text"),
        ({"label": "lable"}, r"task.label: no column 'lable' in split 'train': did you mean 'label'\?"),
        (
            {"partition": Partition(scheme="natural", column="user")},
            r"task.partition.column: no column 'user' in split 'train'",
        ),
        ({"kind": "tagging"}, r"tagging needs one column of lists of words in split 'train'"),
    ],
)
def test_a_missing_column_is_reported_with_the_nearest_name(table, message):
    with pytest.raises(UserError, match=message):
        _read({"text": ["a"], "label": ["x"]}, **table)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"text": ["a", "b", "c", ""], "label": ["x", None, " ", "y"]},
            r"'docstrings': 2 of 3 examples have no label: is task.label = 'label' the column of the labels\?",
        ),
        ({"text": ["a"], "label": [" "]}, r"1 of 1 examples have no label"),
        ({"text": [["a"]], "label": ["x"]}, r"task.text = 'text': has lists in split 'train', expected text"),
        ({"text": [b"a"], "label": ["x"]}, r"task.text = 'text': has values of type bytes in split 'train'"),
        ({"text": ["a"], "label": [{"name": "x"}]}, r"task.label = 'label': has values of type dict"),
        (
            {"tokens": [["a"]], "tags": [["O"]]},
            r"has tokens and tags: set task.kind = 'tagging', task.text = 'tokens' and task.label = 'tags'",
        ),
        ({"text": ["", " "], "label": ["x", "y"]}, r"split 'train' of task.data = 'docstrings' contains no text"),
    ],
)
def test_examples_that_cannot_be_used_are_reported(columns, message):
    with pytest.raises(UserError, match=message):
        _read(columns)


def test_a_sentence_with_more_words_than_tags_is_reported():
    with pytest.raises(UserError, match=r"split 'train': 2 words but 1 tags: 'a b'"):
        _read({"text": [["a", "b"]], "label": [["O"]]}, kind="tagging")
