"""The rules of AdaFL's progressive training with sideline trials, from the paper's figures."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlab.models.peft.bottleneck import Bottleneck
from fedlab.models.peft.lora import Lora
from strategies.adapter_search import AdapterSearch, SearchSpace

BERT = SearchSpace(blocks=12)
FOUR_STEPS = SearchSpace(blocks=12, depth_step=4)

SPACES = st.builds(
    SearchSpace,
    blocks=st.integers(1, 24),
    depth_step=st.integers(1, 6),
    width_step=st.integers(1, 16),
    max_width=st.integers(1, 64),
)


def config(depth, width):
    return Bottleneck(depth=depth, width=width)


def search(depth, width, space=BERT):
    return AdapterSearch(space=space, current=config(depth, width))


def pairs(proposed):
    return {group: (each.depth, each.width) for group, each in proposed.items()}


def test_a_trial_runs_the_current_configuration_a_deeper_and_a_wider_one():
    assert pairs(search(3, 16).propose()) == {"shallow": (3, 16), "deep": (4, 16), "wide": (3, 24)}


def test_of_lora_the_search_is_over_depth_and_rank():
    start = Lora(depth=3, rank=4, alpha=8, targets="q,v")
    state = AdapterSearch(space=SearchSpace(blocks=12, width_step=4, max_width=10), current=start)

    proposed = state.propose()

    assert proposed == {
        "shallow": start,
        "deep": Lora(depth=4, rank=4, alpha=8, targets="q,v"),
        "wide": Lora(depth=3, rank=8, alpha=8, targets="q,v"),
    }
    _, after = state.observe({"shallow": 0.1, "deep": 0.2, "wide": 0.3})
    assert after.propose()["wide"] == Lora(depth=3, rank=10, alpha=8, targets="q,v")


def test_from_depth_0_a_step_of_1_leads_to_2():
    assert pairs(search(0, 8).propose()) == {"shallow": (0, 8), "deep": (2, 8), "wide": (0, 16)}


def test_from_depth_1_a_step_of_1_leads_to_2():
    assert search(1, 8).propose()["deep"] == config(2, 8)


@pytest.mark.parametrize(("depth", "deeper"), [(0, 4), (1, 5), (8, 12), (10, 12)])
def test_a_longer_step_skips_nothing_and_ends_at_the_number_of_blocks(depth, deeper):
    assert search(depth, 8, FOUR_STEPS).propose()["deep"] == config(deeper, 8)


def test_the_skip_from_depth_0_ends_at_the_number_of_blocks():
    assert search(0, 8, SearchSpace(blocks=1)).propose()["deep"] == config(1, 8)


def test_at_the_top_no_group_goes_deeper():
    assert pairs(search(12, 8).propose()) == {"shallow": (12, 8), "wide": (12, 16)}


def test_at_width_64_no_group_goes_wider():
    assert pairs(search(2, 64).propose()) == {"shallow": (2, 64), "deep": (3, 64)}


def test_a_width_step_beyond_the_cap_ends_at_it():
    assert search(2, 60).propose()["wide"] == config(2, 64)


def test_at_both_caps_the_current_configuration_goes_on_alone():
    assert pairs(search(12, 64).propose()) == {"shallow": (12, 64)}


@pytest.mark.parametrize(
    ("base_seconds", "depth", "seconds"), [(60, 0, 60), (60, 2, 540), (60, 12, 2940), (90, 0, 90), (90, 1, 450)]
)
def test_a_trial_lasts_base_times_4_depth_plus_1(base_seconds, depth, seconds):
    space = SearchSpace(blocks=12, base_seconds=base_seconds)

    assert search(depth, 8, space).budget_seconds() == seconds
    assert search(depth, 64, space).budget_seconds() == seconds


def test_the_interval_grows_as_fast_as_it_is_told():
    assert SearchSpace(blocks=12, base_seconds=10, expand=0.5).interval_seconds(config(3, 8)) == 25


@pytest.mark.parametrize(("winner", "depth", "width"), [("shallow", 3, 16), ("deep", 4, 16), ("wide", 3, 24)])
def test_the_next_trial_starts_from_the_most_accurate_group(winner, depth, width):
    accuracies = {"shallow": 0.5, "deep": 0.5, "wide": 0.5} | {winner: 0.6}

    won, after = search(3, 16).observe(accuracies)

    assert won == winner
    assert (after.current, after.trials) == (config(depth, width), 1)


@pytest.mark.parametrize(
    ("shallow", "wide", "deep", "winner"),
    [(0.5, 0.5, 0.5, "shallow"), (0.4, 0.5, 0.5, "wide"), (0.5, 0.4, 0.5, "shallow"), (0.5, 0.5, 0.4, "shallow")],
)
def test_a_tie_goes_to_the_cheaper_group(shallow, wide, deep, winner):
    won, _ = search(3, 16).observe({"deep": deep, "wide": wide, "shallow": shallow})

    assert won == winner


@pytest.mark.parametrize(
    ("shallow", "wide", "deep", "winner"),
    [
        (0.5, 0.5, 0.52, "shallow"),
        (0.5, 0.53, 0.52, "wide"),
        (0.5, 0.53, 0.54, "deep"),
        (0.6, 0.5, 0.5, "shallow"),
    ],
)
def test_a_larger_configuration_must_be_better_by_the_least_gain(shallow, wide, deep, winner):
    won, _ = search(3, 16, SearchSpace(blocks=12, min_gain=0.025)).observe(
        {"deep": deep, "wide": wide, "shallow": shallow}
    )

    assert won == winner


def test_observing_leaves_the_search_as_it_was():
    before = search(3, 16)

    before.observe({"shallow": 0.1, "deep": 0.3, "wide": 0.2})

    assert before == search(3, 16)


@pytest.mark.parametrize("accuracies", [{"shallow": 0.5}, {"shallow": 0.5, "deep": 0.5, "wide": 0.5, "other": 1.0}, {}])
def test_accuracies_of_other_groups_than_the_proposed_are_refused(accuracies):
    with pytest.raises(AssertionError, match="expected accuracies of"):
        search(3, 16).observe(accuracies)


def test_a_group_that_is_not_proposed_needs_no_accuracy():
    won, after = search(12, 56).observe({"shallow": 0.1, "wide": 0.2})

    assert (won, after.current) == ("wide", config(12, 64))
    assert after.observe({"shallow": 0.2})[1].current == config(12, 64)


@given(SPACES, st.data())
def test_a_search_never_shrinks_and_never_goes_beyond_its_caps(space, data):
    start = config(data.draw(st.integers(0, space.blocks)), data.draw(st.integers(1, space.max_width)))
    state = AdapterSearch(space=space, current=start)

    for trial in range(1, 13):
        before, proposed = state.current, state.propose()
        winner, state = state.observe({group: data.draw(st.sampled_from([0.2, 0.4, 0.6])) for group in proposed})

        assert proposed["shallow"] == before
        assert all(each.depth <= space.blocks and each.width <= space.max_width for each in proposed.values())
        assert all(each.depth > before.depth for group, each in proposed.items() if group == "deep")
        assert all(each.width > before.width for group, each in proposed.items() if group == "wide")
        assert state.current == proposed[winner]
        assert state.trials == trial


@given(SPACES)
def test_winning_groups_reach_both_caps(space):
    state = AdapterSearch(space=space, current=config(0, 1))

    while len(proposed := state.propose()) > 1:
        state = state.observe({group: float(group != "shallow") for group in proposed})[1]

    assert state.current == config(space.blocks, space.max_width)
