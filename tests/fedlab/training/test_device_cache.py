"""What filling a device's activation cache takes: every batch of an epoch once, whatever the rounds are cut to."""

from hypothesis import given
from hypothesis import strategies as st

from fedlab.training.device_cache import ActivationCache, epoch_batches, filling

EPOCH = 29


def rounds(*depths, batches=EPOCH, kept=1):
    """Return how many batches run in full in rounds at these depths, one after the other."""
    cache, found = None, []
    for depth in depths:
        uncached, cache = filling(cache, depth=depth, depths=kept, batches=batches, epoch_batches=EPOCH)
        found.append(uncached)
    return found


def test_the_first_epoch_fills_the_cache_and_later_rounds_start_from_it():
    assert rounds(2, 2, 2) == [29, 0, 0]


def test_further_epochs_of_the_first_round_start_from_it_already():
    assert rounds(2, 2, batches=3 * EPOCH) == [29, 0]


def test_rounds_of_less_than_an_epoch_fill_it_bit_by_bit():
    assert rounds(2, 2, 2, 2, batches=14) == [14, 14, 1, 0]


def test_another_depth_fills_it_anew_and_the_old_states_are_gone():
    assert rounds(2, 3, 2) == [29, 29, 29]


def test_states_of_deeper_adapters_are_kept_too_if_asked_for():
    assert rounds(2, 3, 4, 2, kept=3) == [29, 0, 0, 0]
    assert rounds(2, 5, kept=3) == [29, 29]  # 2, 3 and 4 are kept


def test_shallower_adapters_need_a_pass_of_their_own():
    assert rounds(3, 2, 3, kept=7) == [29, 29, 0]


def test_a_deeper_depth_finds_a_cache_as_full_as_it_is():
    assert rounds(2, 3, 3, batches=14, kept=2) == [14, 14, 1]


@given(st.lists(st.integers(0, 6), min_size=1, max_size=20), st.integers(1, 60))
def test_a_search_that_only_deepens_fills_a_cache_of_all_depths_once(depths, batches):
    uncached = rounds(*sorted(depths), batches=batches, kept=7)
    assert sum(uncached) == min(EPOCH, batches * len(depths))


@given(st.lists(st.integers(0, 6), min_size=1, max_size=20), st.integers(1, 60), st.integers(1, 7))
def test_uncached_batches_are_some_of_the_batches(depths, batches, kept):
    assert all(0 <= uncached <= min(batches, EPOCH) for uncached in rounds(*depths, batches=batches, kept=kept))


def test_what_is_kept_is_told_by_depth():
    cache = ActivationCache(depth=2)
    assert [cache.serves(depth, depths=3) for depth in range(6)] == [False, False, True, True, True, False]


def test_an_epochs_last_batch_may_be_a_short_one():
    assert [epoch_batches(examples, 4) for examples in (0, 1, 4, 5, 14, 16)] == [0, 1, 1, 2, 4, 4]
