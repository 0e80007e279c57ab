import numpy as np
import pytest

from fedlab.data.metrics import accuracy, entity_score
from fedlab.data.tokens import WordTags

NAMES = ("B-x", "I-x", "B-y", "I-y", "O")
BX, IX, BY, IY, O = range(5)  # noqa: E741 - the tag is called O


def test_accuracy_is_the_share_predicted():
    assert accuracy(np.array([0, 1, 2, 2]), np.array([0, 1, 1, 2])) == 0.75


def test_ignored_labels_do_not_count():
    assert accuracy(np.array([[0, 3], [1, 3]]), np.array([[0, -100], [0, -100]])) == 0.5
    assert accuracy(np.array([0]), np.array([-100])) == 0.0


def test_an_entity_is_found_if_its_type_and_both_ends_are():
    # Expected: x over tokens 1-2, y at 4; found: x over 1-2, x at 4, and y at 5: precision 1/3, recall 1/2, F1 0.4.
    labels = np.array([[-100, BX, IX, O, BY, O, -100]])
    found = np.array([[BX, BX, IX, O, BX, BY, IY]])
    assert entity_score(found, labels, NAMES) == pytest.approx(0.4)


def test_an_entity_cut_short_is_not_found():
    assert entity_score(np.array([[BX, O]]), np.array([[BX, IX]]), NAMES) == 0.0


def test_entities_that_were_cut_off_are_missed():
    # Two sentences of two entities each; in the second the last word, an entity, has no token.
    labels = np.array([[BX, O, BY], [BX, O, -100]])
    words = WordTags(
        tags=np.array([[BX, O, BY], [BX, O, BY]]), seen=np.array([[True, True, True], [True, True, False]])
    )
    assert entity_score(labels, labels, NAMES) == 1.0
    assert entity_score(labels, labels, NAMES, words) == pytest.approx(2 * 3 / (3 + 4))  # 3 of 4 found, none wrong


def test_an_entity_that_is_cut_in_two_is_missed():
    labels = np.array([[O, BX]])
    words = WordTags(tags=np.array([[O, BX, IX, -100]]), seen=np.array([[True, True, False, False]]))
    assert entity_score(labels, labels, NAMES, words) == 0.0


def test_words_without_a_token_in_the_middle_leave_the_others_in_their_places():
    labels = np.array([[BX, BY, -100]])
    words = WordTags(tags=np.array([[BX, O, BY]]), seen=np.array([[True, False, True]]))
    assert entity_score(labels, labels, NAMES, words) == 1.0


def test_all_found_is_one_and_nothing_to_find_is_zero():
    labels = np.array([[BX, IX], [BY, -100]])
    assert entity_score(labels, labels, NAMES) == 1.0
    assert entity_score(np.array([[O]]), np.array([[O]]), NAMES) == 0.0
