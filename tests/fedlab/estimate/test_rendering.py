"""An estimate fits into 80 columns, and says what all segments take together."""

import io

from rich.console import Console

from fedlab.estimate.rendering import as_plain, render_estimate
from fedlab.estimate.slot import SegmentEstimate, total


def part(first_round, rounds, **changes) -> SegmentEstimate:
    figures = {"seconds": 3600.0 * rounds, "bytes_down": 10**9, "bytes_up": 2 * 10**9, "joules": 5e6}
    return SegmentEstimate(
        first_round=first_round,
        last_round=first_round + rounds - 1,
        rounds=rounds,
        configuration={"set": "bottleneck", "depth": 12, "width": 64},
        peak_memory_bytes=10**9 * first_round,
        **figures | changes,
    )


def shown(estimate, *, room_bytes=10**12) -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(render_estimate(estimate, "what is assumed", room_bytes=room_bytes))
    return console.file.getvalue()


def test_a_table_has_a_line_a_segment_and_one_for_all():
    text = shown(total([part(1, 9), part(10, 1001)]))
    assert "what is assumed" in text
    assert text.split("all")[1].split()[0] == "1010"
    assert "3,636,000 s, 1010.00 h" in text
    assert "…" not in text


def test_a_single_segment_needs_no_line_for_all():
    assert "all" not in shown(total([part(1, 9)]))


def test_a_board_that_is_too_small_is_said_with_the_first_round_it_fails_in():
    estimate = total([part(1, 1), part(2, 1), part(3, 1)])

    assert "does not fit from round 2 on: needs 3.00 GB, has 1.50 GB" in shown(estimate, room_bytes=15 * 10**8)
    assert "fit" not in shown(estimate, room_bytes=3 * 10**9)


def test_plain_values_are_the_figures_and_those_of_each_segment():
    plain = as_plain(total([part(1, 1), part(2, 2)]))
    assert (plain["seconds"], plain["bytes_down"], plain["bytes_up"], plain["joules"]) == (10800.0, 2e9, 4e9, 1e7)
    assert plain["peak_memory_bytes"] == 2 * 10**9
    assert [each["last_round"] for each in plain["by_segment"]] == [1, 3]
    assert set(plain["by_segment"][0]) == {
        *("first_round", "last_round", "rounds", "configuration"),
        *("seconds", "bytes_down", "bytes_up", "joules", "peak_memory_bytes"),
    }
