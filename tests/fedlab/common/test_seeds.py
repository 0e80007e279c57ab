import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fedlab.common.seeds import generator, seed_for

SEEDS, KEYS = st.integers(0, 2**40), st.lists(st.integers(0, 10**6), max_size=3)
PURPOSES = st.sampled_from(["batches", "cohort", "backbone", "partition order"])


def test_a_seed_stays_what_it_is():
    # SHA-256 of "7/batches/3/12" begins with 8 bytes whose upper 63 bits these are; another number here would change
    # the result of every experiment.
    assert seed_for(7, "batches", 3, 12) == 2877843115964151255


@given(SEEDS, PURPOSES, KEYS)
def test_a_seed_has_63_bits(seed, purpose, keys):
    assert 0 <= seed_for(seed, purpose, *keys) < 2**63


@given(st.lists(st.tuples(SEEDS, PURPOSES, KEYS.map(tuple)), min_size=2, max_size=6, unique=True))
def test_different_keys_give_different_seeds(draws):
    seeds = {seed_for(seed, purpose, *keys) for seed, purpose, keys in draws}

    assert len(seeds) == len(draws)


def test_neighbouring_digits_are_not_run_together():
    assert len({seed_for(1, "a", 23), seed_for(1, "a", 2, 3), seed_for(12, "a", 3), seed_for(1, "a2", 3)}) == 4


def test_a_generator_draws_the_same_numbers_whatever_was_drawn_before():
    first = generator(3, "cohort", 5).integers(0, 1000, 8)
    np.random.seed(0)
    generator(3, "cohort", 4).random(100)

    again, other = generator(3, "cohort", 5).integers(0, 1000, 8), generator(3, "cohort", 6).integers(0, 1000, 8)

    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()


def test_the_global_generator_is_left_alone():
    np.random.seed(0)
    expected = np.random.random()
    np.random.seed(0)

    generator(3, "cohort", 5).random(10)

    assert np.random.random() == expected
