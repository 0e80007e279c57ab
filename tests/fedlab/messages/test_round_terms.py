"""A round lasts until enough clients are done, or until its deadline."""

from hypothesis import given
from hypothesis import strategies as st

from fedlab.messages.round_terms import Ending, RoundTerms, round_seconds

ENDINGS = st.lists(
    st.builds(Ending, seconds=st.floats(0, 1e6), how=st.sampled_from(["finished", "failed", "gone"])), max_size=10
)
TERMS = st.builds(
    RoundTerms,
    deadline_seconds=st.none() | st.floats(0.1, 1e6),
    wait_for=st.none() | st.integers(1, 12),
    late=st.sampled_from(["drop", "carry"]),
)


def seconds(*finished, failed=(), gone=(), **terms):
    endings = [Ending(seconds=each, how="finished") for each in finished]
    endings += [Ending(seconds=each, how="failed") for each in failed]
    endings += [Ending(seconds=each, how="gone") for each in gone]
    return round_seconds(endings, RoundTerms(**terms))


def test_without_terms_all_are_waited_for():
    assert seconds(3.0, 8.0, 5.0) == 8.0


def test_a_round_without_participants_takes_no_time():
    assert seconds() == 0.0


def test_the_first_so_many_end_the_round():
    assert seconds(3.0, 8.0, 5.0, 9.0, wait_for=2) == 5.0


def test_the_deadline_ends_it_where_too_few_are_done():
    assert seconds(3.0, 8.0, 5.0, wait_for=3, deadline_seconds=6.0) == 6.0
    assert seconds(3.0, 8.0, 5.0, wait_for=2, deadline_seconds=6.0) == 5.0


def test_a_round_that_is_done_before_its_deadline_does_not_wait_for_it():
    assert seconds(3.0, 4.0, deadline_seconds=60.0) == 4.0


def test_one_that_fails_is_waited_for_until_it_says_so():
    assert seconds(3.0, failed=[4.0]) == 4.0
    assert seconds(3.0, failed=[4.0], deadline_seconds=60.0) == 4.0
    assert seconds(3.0, 5.0, failed=[9.0], wait_for=2) == 5.0


def test_where_too_few_are_left_the_round_ends_with_the_last_of_them():
    assert seconds(3.0, 5.0, failed=[9.0], wait_for=3) == 9.0
    assert seconds(3.0, 5.0, gone=[9.0], wait_for=3) == 9.0


def test_one_that_leaves_without_a_word_is_waited_for_until_the_deadline():
    assert seconds(3.0, gone=[1.0]) == 3.0
    assert seconds(3.0, gone=[1.0], deadline_seconds=60.0) == 60.0
    assert seconds(3.0, gone=[1.0], deadline_seconds=60.0, wait_for=1) == 3.0


@given(ENDINGS, TERMS)
def test_a_round_never_outlasts_its_deadline_nor_its_parts_unless_one_left_silently(endings, terms):
    lasts = round_seconds(endings, terms)
    if terms.deadline_seconds is not None:
        assert lasts <= terms.deadline_seconds
    if not any(each.how == "gone" for each in endings):
        assert lasts <= max((each.seconds for each in endings), default=0.0)


@given(ENDINGS, TERMS)
def test_as_many_as_are_waited_for_are_done_in_it_unless_the_deadline_comes_first(endings, terms):
    lasts = round_seconds(endings, terms)
    finished = [each for each in endings if each.how == "finished"]
    in_time = [each for each in finished if each.seconds <= lasts]
    wanted = min(len(finished), len(finished) if terms.wait_for is None else terms.wait_for)
    assert len(in_time) >= wanted or lasts == terms.deadline_seconds
