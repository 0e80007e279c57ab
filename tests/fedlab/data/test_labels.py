import pytest

from fedlab.config.schema import TaskTable
from fedlab.data.examples import Examples
from fedlab.data.labels import label_ids, label_set
from fedlab.errors import UserError

TAGGING = TaskTable(kind="tagging")


def _examples(*labels):
    return Examples(texts=["text"] * len(labels), labels=list(labels))


def test_the_set_is_the_sorted_training_labels():
    assert label_set(_examples("b", "a", "b"), TaskTable()) == ("a", "b")


def test_numbers_are_sorted_by_value():
    assert label_set(_examples("10", "9", "-1"), TaskTable()) == ("-1", "9", "10")


def test_the_users_set_comes_first_then_the_declared_one():
    train = _examples("a")
    assert label_set(train, TaskTable(labels=["b", "a"]), ["a"]) == ("b", "a")
    assert label_set(train, TaskTable(), ["c", "a"]) == ("c", "a")


def test_names_that_differ_in_blanks_alone_are_one():
    assert label_set(_examples("a"), TaskTable(labels=["b ", "a", "b"])) == ("b", "a")


def test_one_label_only_is_refused_unless_the_user_lists_more():
    with pytest.raises(UserError, match=r"task.label = 'label': every training example has the label 'a'"):
        label_set(_examples("a", "a"), TaskTable())
    with pytest.raises(UserError, match=r"has the label 'O', so there is nothing to learn"):
        label_set(_examples(["O"], ["O", "O"]), TAGGING)
    assert label_set(_examples("a", "a"), TaskTable(labels=["a", "b"])) == ("a", "b")
    assert label_set(_examples("a", "b"), TaskTable(labels=["a"])) == ("a",)  # `label_ids` refuses 'b'


def test_a_column_with_hardly_a_value_twice_is_refused_unless_the_user_lists_its_values():
    ids = [f"ticket {number}" for number in range(20)]
    with pytest.raises(UserError, match=r"task.label = 'label': 20 different labels of 20 training examples leave"):
        label_set(_examples(*ids), TaskTable())
    assert len(label_set(_examples(*ids), TaskTable(labels=ids))) == 20
    assert len(label_set(_examples(*ids[:19]), TaskTable())) == 19
    assert len(label_set(_examples(*ids[:10], *ids[:10]), TaskTable())) == 10


def test_a_set_of_tags_is_made_whole():
    assert label_set(_examples(["B-x"], ["I-y"]), TAGGING) == ("B-x", "B-y", "I-x", "I-y", "O")


def test_tags_that_are_not_bio_are_refused():
    with pytest.raises(UserError, match=r"label 'S-x': tagging needs BIO tags"):
        label_set(_examples(["S-x"]), TAGGING)


def test_labels_become_their_numbers():
    assert label_ids(_examples("b", "a"), ("a", "b"), "train") == [1, 0]
    assert label_ids(_examples(["O", "B-x"], []), ("B-x", "O"), "train") == [[1, 0], []]


def test_a_label_outside_the_set_is_reported_with_split_and_set():
    with pytest.raises(UserError, match=r"label 'z' in split 'test' is not in the set: accepted: a, b$"):
        label_ids(_examples("a", "z"), ("a", "b"), "test")
    with pytest.raises(UserError, match=r"accepted: 0, 1, 2, 3, 4, 5, \.\.\. \(9 in all\)$"):
        label_ids(_examples("z"), [str(i) for i in range(9)], "test")
