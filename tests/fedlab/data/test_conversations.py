import datasets
import pytest

from fedlab.config.schema import Partition, TaskTable
from fedlab.data.examples import read_examples
from fedlab.errors import UserError

ROWS = {"question": ["a?", "b?", " ", "d?"], "context": ["A", "B", "", "D"], "answer": ["x", " y ", "z", "w"]}


def _read(columns, split="train", **table):
    return read_examples(datasets.Dataset.from_dict(columns), TaskTable(kind="prompt", **table), split)


def test_a_prompt_is_a_column_and_is_answered_by_a_response():
    found = _read(ROWS, prompt="question", response="answer")
    assert found.texts == [[("user", q), ("assistant", a)] for q, a in (("a?", "x"), ("b?", "y"), ("d?", "w"))]
    assert found.labels == ["", "", ""]
    assert found.left_out.no_text == 1


def test_a_prompt_may_be_a_text_with_columns():
    found = _read(ROWS, prompt="{context}: {question} {{ }}", response="answer")
    assert [text[0][1] for text in found.texts] == ["A: a? { }", "B: b? { }", "D: d? { }"]


def test_an_example_without_a_response_is_left_out_and_counted():
    found = _read({"prompt": ["a", "b", "c"], "response": ["x", "y", " "]})
    assert (len(found), found.left_out.no_label) == (2, 1)
    with pytest.raises(UserError, match=r"2 of 3 examples have no response: is task.response = 'response' the column"):
        _read({"prompt": ["a", "b", "c"], "response": ["x", None, " "]})


def test_messages_are_turns_up_to_the_last_response():
    chat = [
        [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}],
        [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}, {"role": "user", "content": "?"}],
        [{"role": "user", "content": "u"}],
    ]
    found = _read({"chat": chat}, messages="chat")
    assert found.texts == [
        [("system", "s"), ("user", "u"), ("assistant", "a")],
        [("user", "u"), ("assistant", "a")],
    ]
    assert found.left_out.no_label == 1


@pytest.mark.parametrize(
    ("columns", "table", "said"),
    [
        (ROWS, {"prompt": "quastion", "response": "answer"}, "task.prompt: no column 'quastion' in split 'train'"),
        (ROWS, {"prompt": "{quastion}", "response": "answer"}, "task.prompt: no column 'quastion' in split 'train'"),
        (ROWS, {"prompt": "{question", "response": "answer"}, "task.prompt = '{question': expected '}'"),
        (ROWS, {"prompt": "question", "response": "anser"}, "task.response: no column 'anser' in split 'train'"),
        ({"prompt": [["a"]], "response": ["b"]}, {}, "task.prompt: column 'prompt': has lists in split 'train'"),
        ({"chat": ["hello"]}, {"messages": "chat"}, "example 1 of split 'train' is not a list of messages"),
        ({"chat": [[{"role": "user"}]]}, {"messages": "chat"}, "found {'role': 'user'}"),
    ],
)
def test_columns_that_cannot_be_read_as_prompts_are_refused(columns, table, said):
    with pytest.raises(UserError) as raised:
        _read(columns, **table)
    assert said in str(raised.value)


def test_responses_that_are_label_words_are_the_labels_and_differ_in_blanks_alone():
    found = _read(
        ROWS | {"answer": ["yes", "no", "no", " yes "]}, prompt="question", response="answer", labels=["yes", "no"]
    )
    assert found.labels == ["yes", "no", "yes"]


def test_a_label_column_skews_the_partition_of_prompts():
    skewed = {"prompt": "question", "response": "answer", "label": "context"}
    assert _read(ROWS, **skewed, partition=Partition(scheme="dirichlet")).labels == ["A", "B", "D"]
    assert _read(ROWS, split="test", **skewed, partition=Partition(scheme="dirichlet")).labels == ["", "", ""]
    with pytest.raises(UserError, match=r"task\.label: no column 'label'"):
        _read(ROWS, prompt="question", response="answer", partition=Partition(scheme="dirichlet"))


def test_plain_texts_need_no_label():
    texts = datasets.Dataset.from_dict({"text": ["a", "", "b"]})
    found = read_examples(texts, TaskTable(kind="next-token"), "train")
    assert (found.texts, found.labels, found.left_out.no_text) == (["a", "b"], ["", ""], 1)
