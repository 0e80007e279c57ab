import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fedlab.config.schema import Partition
from fedlab.data.partition import skew_labels, split_indices
from fedlab.errors import UserError


@st.composite
def splits(draw):
    """Draw labels, natural ids, a partition of any scheme and a seed."""
    n = draw(st.integers(1, 60))
    labels = draw(st.lists(st.sampled_from("abcde"), min_size=n, max_size=n))
    ids = draw(st.lists(st.integers(0, 9), min_size=n, max_size=n))
    scheme = draw(st.sampled_from(["iid", "dirichlet", "quantity", "pathological", "natural"]))
    partition = Partition(
        scheme=scheme,
        clients=draw(st.integers(1, 12)),
        alpha=draw(st.floats(0.05, 100)),
        growth=draw(st.sampled_from(["linear", "square", "exponential"])),
        classes_per_client=draw(st.integers(1, 3)),
        column="id",
    )
    return labels, ids, partition, draw(st.integers(0, 1000))


@settings(max_examples=150)
@given(splits())
def test_every_example_belongs_to_exactly_one_client_and_no_client_is_empty(case):
    labels, ids, partition, seed = case
    try:
        clients = split_indices(labels, partition, seed, client_ids=ids)
    except UserError:
        assume(False)
    assert all(len(indices) for indices in clients)
    assert all(indices.dtype == np.int64 and (np.diff(indices) > 0).all() for indices in clients)
    assert sorted(np.concatenate(clients).tolist()) == list(range(len(labels)))
    again = split_indices(labels, partition, seed, client_ids=ids)
    assert all(np.array_equal(a, b) for a, b in zip(clients, again, strict=True))


def _labels(count, kinds=4):
    return [str(i % kinds) for i in range(count)]


def test_iid_clients_are_of_equal_size_and_differ_by_seed():
    first, second = (split_indices(_labels(12), Partition(clients=3), seed) for seed in (0, 1))
    assert [len(indices) for indices in first] == [4, 4, 4]
    assert [indices.tolist() for indices in first] != [indices.tolist() for indices in second]


def test_linear_growth_gives_client_i_its_share_of_i_parts():
    sizes = [len(c) for c in split_indices(_labels(60), Partition(scheme="quantity", clients=3), 0)]
    assert sizes == [10, 20, 30]


def test_square_growth_gives_client_i_its_share_of_i_squared_parts():
    sizes = [len(c) for c in split_indices(_labels(140), Partition(scheme="quantity", clients=3, growth="square"), 0)]
    assert sizes == [10, 40, 90]


def test_pathological_clients_hold_as_many_labels_as_asked():
    labels = _labels(400, kinds=8)
    for clients in (7, 40):
        partition = Partition(scheme="pathological", clients=clients, classes_per_client=2)
        for indices in split_indices(labels, partition, 3):
            assert len({labels[i] for i in indices}) == 2


def test_a_small_alpha_skews_labels_and_a_large_one_does_not():
    labels = _labels(4000)

    def largest_shares(alpha):
        clients = split_indices(labels, Partition(scheme="dirichlet", clients=10, alpha=alpha), 0)
        return [max(np.bincount([int(labels[i]) for i in c], minlength=4)) / len(c) for c in clients]

    assert np.mean(largest_shares(0.1)) > 0.6
    assert np.mean(largest_shares(1000.0)) < 0.3


def test_natural_clients_are_the_distinct_ids_in_their_order():
    partition = Partition(scheme="natural", clients=99, column="user")
    clients = split_indices(_labels(5), partition, 0, client_ids=[10, 9, 10, 2, 9])
    assert [indices.tolist() for indices in clients] == [[3], [1, 4], [0, 2]]


def test_a_sentence_counts_as_its_commonest_entity():
    tags = [
        ["O", "B-person", "I-person", "B-location"],
        ["B-person", "B-location"],
        ["O", "O"],
        [],
        ["I-creative-work"],
    ]
    assert skew_labels(tags) == ["person", "location", "O", "O", "creative-work"]


def test_sentences_are_split_by_entity():
    tags = [["B-x"], ["O", "B-y"]] * 20
    partition = Partition(scheme="pathological", clients=4, classes_per_client=1)
    for indices in split_indices(tags, partition, 0):
        assert len({i % 2 for i in indices.tolist()}) == 1


def test_a_thousand_clients_share_many_examples():
    clients = split_indices(_labels(20_000, kinds=20), Partition(scheme="dirichlet", clients=1000), 0)
    assert len(clients) == 1000
    assert sum(len(indices) for indices in clients) == 20_000


def test_a_split_is_redrawn_until_each_client_has_the_minimum():
    few = Partition(scheme="dirichlet", clients=10, alpha=0.3)
    labels = _labels(400)
    assert min(len(c) for c in split_indices(labels, few, 1)) < 10
    enough = split_indices(labels, few.model_copy(update={"min_examples": 10}), 1)
    assert len(enough) == 10
    assert min(len(c) for c in enough) >= 10
    assert sorted(np.concatenate(enough).tolist()) == list(range(400))


def test_a_minimum_that_the_first_draw_meets_changes_nothing():
    labels, partition = _labels(400), Partition(scheme="dirichlet", clients=5, alpha=5.0)
    first = split_indices(labels, partition, 0)
    again = split_indices(labels, partition.model_copy(update={"min_examples": 5}), 0)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("least", [None, 8])
def test_clients_below_the_minimum_can_be_dropped(least):
    partition = Partition(scheme="dirichlet", clients=40, alpha=0.02, min_examples=least, below_min="drop")
    clients = split_indices(_labels(200), partition, 0)
    assert 0 < len(clients) < 40
    assert min(len(c) for c in clients) >= (least or 1)
    kept = np.concatenate(clients)
    assert len(set(kept.tolist())) == len(kept)
    assert least is not None or len(kept) == 200  # clients without examples take none with them


def test_natural_clients_with_little_text_can_be_dropped():
    partition = Partition(scheme="natural", column="user", min_examples=2, below_min="drop")
    clients = split_indices(_labels(5), partition, 0, client_ids=["a", "b", "a", "c", "c"])
    assert [indices.tolist() for indices in clients] == [[0, 2], [3, 4]]


def test_a_very_large_alpha_has_the_label_shares_of_iid_within_sampling_error():
    labels, codes = _labels(8000), np.arange(8000) % 4

    def deviation(partition):
        """Return the chi-square of the clients' label counts against the global shares, over its degrees of freedom."""
        clients = split_indices(labels, partition, 0)
        counts = np.array([np.bincount(codes[indices], minlength=4) for indices in clients])
        expected = counts.sum(1, keepdims=True) / 4
        return float(((counts - expected) ** 2 / expected).sum()) / (3 * len(clients))

    # IID's is 1 on average, with a standard deviation of sqrt(2 / 300) = 0.08 at 100 clients.
    assert deviation(Partition(clients=100)) == pytest.approx(1, abs=0.3)
    assert deviation(Partition(scheme="dirichlet", clients=100, alpha=1000.0)) < 1.3
    assert deviation(Partition(scheme="dirichlet", clients=100, alpha=1.0)) > 5


@pytest.mark.parametrize(
    ("partition", "message"),
    [
        (Partition(clients=41), r"task.partition.clients = 41: there are only 40 training examples"),
        (
            Partition(scheme="quantity", clients=20),
            r"partition 0 would be empty: 40 examples are too few for 20 clients with linear growth",
        ),
        (
            Partition(scheme="dirichlet", clients=40, alpha=0.01),
            r"partition \d+ would be empty \(\d+ of 40 would, and in more draws\): use fewer clients, a larger alpha"
            r" than 0.01, or below_min = 'drop' to leave them out",
        ),
        (
            Partition(clients=10, min_examples=5),
            r"partition 0 would have fewer than 5 examples \(10 of 10 would\): use fewer clients, or below_min",
        ),
        (
            Partition(clients=10, min_examples=5, below_min="drop"),
            r"every client would have fewer than 5 examples: use fewer clients, or a smaller min_examples",
        ),
        (
            Partition(scheme="pathological", clients=30, classes_per_client=1, min_examples=2),
            r"\(\d+ of 30 would\): use fewer clients, or below_min = 'drop'",
        ),
        (
            Partition(scheme="pathological", classes_per_client=5, clients=2),
            r"task.partition.classes_per_client = 5: there are only 4 labels",
        ),
        (
            Partition(scheme="pathological", classes_per_client=1, clients=2),
            r"do not cover all 4 labels: raise clients to 4 or more",
        ),
        (
            Partition(scheme="pathological", classes_per_client=4, clients=30),
            r"need a label in more places than it has examples: use fewer clients",
        ),
        (Partition(scheme="natural"), r"task.partition.column is missing"),
    ],
)
def test_what_cannot_be_split_is_one_line_that_says_what_to_change(partition, message):
    with pytest.raises(UserError, match=message) as caught:
        split_indices(_labels(40), partition, 0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", [None, math.nan, " "])
def test_an_example_without_a_client_is_reported(missing):
    with pytest.raises(UserError, match=r"task.partition.column = 'user': an example has no value in it"):
        split_indices(_labels(2), Partition(scheme="natural", column="user"), 0, client_ids=["a", missing])


def test_partitioners_are_silent(recwarn, capfd):
    split_indices(_labels(40), Partition(scheme="dirichlet", clients=5, alpha=0.3), 0)
    split_indices(_labels(40), Partition(scheme="natural", column="user"), 0, client_ids=["a"] * 40)
    assert not recwarn.list
    assert capfd.readouterr() == ("", "")
