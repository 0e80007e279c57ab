import pytest
from pydantic import ValidationError

from fedlab.config.schema import TaskTable


@pytest.mark.parametrize(
    ("table", "score"),
    [
        ({}, "accuracy"),
        ({"kind": "tagging"}, "entity-f1"),
        ({"kind": "next-token"}, "token-accuracy"),
        ({"kind": "prompt"}, "token-accuracy"),
        ({"kind": "prompt", "labels": ["yes", "no"]}, "accuracy"),
        ({"kind": "prompt", "measure": "rouge-l"}, "rouge-l"),
        ({"kind": "image"}, "accuracy"),
    ],
)
def test_each_kind_of_task_has_a_score(table, score):
    assert TaskTable(**table).scored_by == score


def test_responses_are_label_words_if_they_are_scored_by_accuracy():
    assert TaskTable(kind="prompt", measure="accuracy").scores_labels
    assert not TaskTable(kind="prompt").scores_labels
    assert not TaskTable().scores_labels


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"kind": "next-token", "measure": "accuracy"}, "measure 'accuracy': kind next-token has token-accuracy, like"),
        ({"measure": "f1"}, "measure 'f1': kind classification has accuracy"),
        ({"template": "{prompt}"}, "template is for kind prompt, not for classification"),
        ({"kind": "next-token", "response": "answer"}, "response is for kind prompt, not for next-token"),
        ({"kind": "tagging", "new_tokens": 8}, "new_tokens is for kind next-token or prompt, not for tagging"),
        ({"kind": "prompt", "template": "Q: {question}"}, "expected 'chat', or a text in which {prompt} stands once"),
        ({"kind": "prompt", "template": "{prompt}{prompt}"}, "in which {prompt} stands once"),
        ({"kind": "prompt", "messages": "chat", "labels": ["a", "b"]}, "need prompt and response columns"),
        ({"augment": ["flip"]}, "augment is for kind image, not for classification"),
        ({"kind": "image", "text": "title"}, "text is for kind classification, tagging or next-token, not for image"),
        ({"kind": "image", "image_shape": [28, 28]}, "image_shape = [28, 28]: expected channels, height and width"),
        ({"kind": "image", "mean": [0.5]}, "mean and std: expected both or neither"),
        ({"kind": "image", "mean": [0.5], "std": [0.0]}, "std = [0.0]: expected numbers above 0"),
        (
            {"kind": "image", "image_shape": [3, 8, 8], "mean": [0.5], "std": [0.5]},
            "expected a number for each of 3 channels",
        ),
    ],
)
def test_what_does_not_fit_the_kind_of_task_is_refused(table, said):
    with pytest.raises(ValidationError) as raised:
        TaskTable(**table)
    assert said in str(raised.value)
