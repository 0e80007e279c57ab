import json

import numpy as np

from fedlab.data.describe import client_labels, duplicates_between, split_report
from fedlab.data.encode import Lengths
from fedlab.data.examples import Examples
from fedlab.data.report import UNLABELLED, ClientLabels, DataReport, SplitReport, report_from
from fedlab.data.tokens import TokenSet, WordTags


def _described(part, tokens, names):
    whole = np.asarray(tokens.whole_lengths)
    return split_report(part, tokens, names, Lengths(whole=whole, cut=int((whole > tokens.lengths).sum())))


def _tokens(whole_lengths, max_length, words=None):
    whole = np.array(whole_lengths, np.int32)
    nothing = np.zeros((len(whole), 1), np.int32)
    return TokenSet(
        input_ids=nothing,
        lengths=np.minimum(whole, max_length),
        whole_lengths=whole,
        labels=nothing,
        words=words,
        digest="",
    )


def _examples(*texts, labels=None):
    return Examples(texts=list(texts), labels=labels or ["x"] * len(texts))


def test_a_split_has_its_labels_the_commonest_first_and_the_share_that_is_cut():
    part = _examples("a", "b", "c", labels=["y", "x", "x"])
    assert _described(part, _tokens([3, 5, 9], 5), ("x", "y")) == SplitReport(
        examples=3, labels={"x": 2, "y": 1}, median_tokens=5.0, longest_tokens=9, cut=1, lost_entities=0
    )


def test_entities_are_counted_by_type_and_those_with_a_word_that_was_cut_are_lost():
    names = ("B-x", "B-y", "I-x", "I-y", "O")
    bx, by, ix, iy, o = range(5)
    # x x | y, of which the last word is cut | and a sentence that begins inside an entity of type y, all seen
    tags = np.array([[bx, ix, bx, by, iy], [iy, ix, o, -100, -100]])
    seen = np.array([[True, True, True, True, False], [True, True, True, False, False]])
    part = _examples(["w"] * 5, ["w"] * 3, labels=[["O"] * 5, ["O"] * 3])
    found = _described(part, _tokens([7, 5], 6, WordTags(tags=tags, seen=seen)), names)
    assert (found.labels, found.lost_entities) == ({"x": 3, "y": 2}, 1)


def test_an_entity_whose_first_word_has_no_token_is_lost():
    words = WordTags(tags=np.array([[0, 1, 0]]), seen=np.array([[False, True, True]]))
    found = _described(_examples(["w"] * 3, labels=[["O"] * 3]), _tokens([5], 9, words), ("B-x", "I-x", "O"))
    assert (found.labels, found.lost_entities) == ({"x": 2}, 1)


def test_clients_are_counted_by_label_and_examples_that_nobody_has_are_known():
    found = client_labels(["b", "a", "b", "a"], [np.array([0, 2]), np.array([1])])
    assert found == ClientLabels(examples=[2, 1], without_client=1, labels=["a", "b"], counts=[[0, 2], [1, 0]])


def test_texts_that_differ_in_blanks_alone_are_duplicates():
    splits = {"train": _examples("a b", "c", "a  b"), "test": _examples("c ", "d", "c"), "more": _examples(["a", "b"])}
    assert duplicates_between(splits) == {
        "train": {"train": 1},
        "test": {"train": 2, "test": 1},
        "more": {"train": 1, "test": 0, "more": 0},
    }


def test_texts_without_labels_have_none_in_the_report():
    texts = _examples("a", "b", labels=["", ""])
    assert _described(texts, _tokens([1, 2], 5), ()).labels == {}
    assert client_labels(texts.labels, [np.array([0, 1])]).labels == [UNLABELLED]


def test_a_conversation_is_compared_by_all_that_is_said():
    chat = [("user", "a  b"), ("assistant", "c")]
    found = duplicates_between({"train": _examples(chat, [("user", "a b"), ("assistant", "c")])})
    assert found == {"train": {"train": 1}}


def test_a_report_comes_back_from_json():
    part = SplitReport(examples=1, labels={"x": 1}, median_tokens=2.5, longest_tokens=3, cut=0, lost_entities=0)
    report = DataReport(
        data="a.csv",
        kind="classification",
        max_length=8,
        splits={"train": part},
        left_out={"train": {"no_text": 1, "no_label": 0}},
        duplicates={"train": {"train": 0}},
        clients=ClientLabels(examples=[1], without_client=0, labels=["x"], counts=[[1]]),
    )
    assert report_from(json.loads(json.dumps(report.plain()))) == report
