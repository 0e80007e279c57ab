import io
from dataclasses import replace

import pytest
from rich.console import Console

from fedlab.results.display import (
    LiveDisplay,
    PlainDisplay,
    Progress,
    QuietDisplay,
    after_round,
    after_trial,
    choose_display,
    render_groups,
    render_header,
    render_outcomes,
    round_line,
    trial_line,
)
from fedlab.results.records import CandidateRecord, GroupRecord, RoundRecord, TrialRecord


def adapters(depth=2, width=8):
    return {"set": "bottleneck", "depth": depth, "width": width}


def group(name, seconds, *, loss=1.0, failures=0, depth=0, width=8):
    return GroupRecord(
        group=name, configuration=adapters(depth, width), clients=5, failures=failures, seconds=seconds, joules=1.0,
        bytes_down=1, bytes_up=1, train_loss=loss,
    )  # fmt: skip


def round_(server_round, trial, *groups, validation=None, test=None):
    return RoundRecord(
        server_round=server_round, trial=trial, simulated_seconds=60.0 * server_round, configuration=adapters(0, 8),
        groups=list(groups), validation_accuracy=validation, test_accuracy=test, wall_seconds=1.0,
    )  # fmt: skip


def trial(number):
    accuracies = {"shallow": 0.5, "deep": 0.75}
    candidates = [
        CandidateRecord(group=name, configuration=adapters(0, 8), rounds=1, seconds=1.0, joules=1.0, bytes_down=1,
                        bytes_up=1, validation_accuracy=accuracy)
        for name, accuracy in accuracies.items()
    ]  # fmt: skip
    return TrialRecord(
        trial=number, server_round=2, started_seconds=0.0, ended_seconds=90.0, budget_seconds=90.0,
        candidates=candidates, winner="deep", configuration=adapters(2, 8),
    )  # fmt: skip


def told(display):
    with display:
        display.on_clients([])
        display.on_round(round_(1, 1, group("shallow", 30.0), group("deep", 40.0)))
        display.on_message("client 7: [timeout] :boom:")
        display.on_trial(trial(1))


def terminal(width=80):
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=40, color_system=None, _environ={})


def printed(renderable):
    console = Console(width=80, color_system=None, file=io.StringIO())
    console.print(renderable)
    return console.file.getvalue()


def rows(progress):
    lines = [line.split() for line in printed(render_groups(progress)).splitlines()]
    return {line[0]: line[1:] for line in lines if line}


def test_groups_add_up_their_seconds_and_rounds_within_a_trial():
    progress = Progress()
    progress = after_round(progress, round_(1, 1, group("shallow", 10.0), group("deep", 30.0, failures=1)))
    progress = after_round(progress, round_(2, 1, group("shallow", 12.0), group("deep", 30.0, failures=2)))
    progress = after_round(progress, round_(3, 1, group("shallow", 11.0, loss=0.25)))  # deep has spent its budget

    shallow, deep = progress.groups
    assert (shallow.group, shallow.rounds, shallow.seconds, shallow.train_loss) == ("shallow", 3, 33.0, 0.25)
    assert (deep.group, deep.rounds, deep.seconds, deep.failures) == ("deep", 2, 60.0, 3)


def test_the_next_trial_starts_its_groups_afresh():
    progress = after_round(Progress(), round_(1, 1, group("shallow", 10.0), group("deep", 30.0)))
    progress = after_round(after_trial(progress, trial(1)), round_(2, 2, group("shallow", 7.0)))

    assert [(each.group, each.seconds, each.rounds) for each in progress.groups] == [("shallow", 7.0, 1)]
    assert progress.budget_seconds is None


def test_without_trials_the_group_adds_up_over_the_run():
    progress = after_round(Progress(), round_(1, None, group("all", 10.0)))
    progress = after_round(progress, round_(2, None, group("all", 10.0, loss=None)))

    assert [(each.seconds, each.train_loss) for each in progress.groups] == [(20.0, 1.0)]


def test_accuracies_stay_until_they_are_measured_again():
    progress = after_round(Progress(), round_(1, 1, validation=0.5, test=0.25))
    progress = after_round(progress, round_(2, 1, validation=0.75))

    assert (progress.validation_accuracy, progress.test_accuracy) == (0.75, 0.25)


def test_a_trial_sets_configuration_clock_and_budget():
    progress = after_trial(after_round(Progress(), round_(1, 1, group("shallow", 10.0))), trial(1))

    assert progress.configuration == adapters(2, 8)
    assert (progress.simulated_seconds, progress.budget_seconds) == (90.0, 90.0)
    assert len(progress.groups) == 1


def test_the_last_five_trials_are_kept():
    progress = Progress()
    for number in range(1, 8):
        progress = after_trial(progress, trial(number))

    assert [each.trial for each in progress.trials] == [3, 4, 5, 6, 7]
    assert printed(render_outcomes(progress.trials)).startswith("trial 7")


def test_the_header_tells_where_the_run_stands():
    progress = after_round(Progress(), round_(3, 1, validation=0.5))

    assert printed(render_header(progress, 10)).splitlines() == [
        "round 3/10 · trial 1 · 3.00 min simulated",
        "depth 0, width 8 · validation 0.500 · test -",
    ]
    assert printed(render_header(progress, None)).startswith("round 3 ")


def test_groups_stand_side_by_side():
    progress = after_round(Progress(), round_(1, 1, group("shallow", 30.0), group("deep", 45.0, depth=2, failures=1)))

    table = rows(progress)
    assert table["shallow"] == ["deep"]
    assert table["depth,"] == ["width", "0,", "-", "2,", "8"]  # without adapters there is no width
    assert table["elapsed"] == ["30.0", "s", "45.0", "s"]
    assert table["budget"] == ["-", "-"]
    assert table["failures"] == ["0", "1"]


def test_groups_of_a_set_without_axes_have_no_line_for_them():
    everything = replace(group("train", 30.0), configuration={"set": "everything"})
    progress = after_round(Progress(), replace(round_(1, None, everything), configuration={"set": "everything"}))

    assert "depth," not in rows(progress)
    assert "everything" in printed(render_header(progress, None))


def test_the_budget_shows_when_the_trial_has_ended():
    progress = after_trial(after_round(Progress(), round_(1, 1, group("shallow", 30.0))), trial(1))

    assert rows(progress)["budget"] == ["1.50", "min"]


def test_before_the_first_round_there_is_no_table():
    assert printed(render_groups(Progress())).strip() == "waiting for the first round"


def test_a_round_is_one_line():
    record = round_(2, 1, group("shallow", 30.0), group("deep", 45.0, loss=None, failures=2), validation=0.5, test=0.25)

    assert round_line(record, 10) == (
        "round 2/10  2.00 min  trial 1  depth 0, width 8  loss shallow 1.000, deep -  2 failed"
        "  validation 0.500  test 0.250"
    )
    assert round_line(round_(2, None), None) == "round 2  2.00 min  depth 0, width 8  no client"


def test_a_trial_is_one_line():
    assert trial_line(trial(3)) == "trial 3  1.50 min  deep wins, depth 2, width 8  (shallow 0.500, deep 0.750)"


def test_the_plain_display_prints_a_line_an_event_uncut_and_unchanged():
    console = Console(file=io.StringIO(), width=20)

    told(PlainDisplay(console, 10))

    assert console.file.getvalue().splitlines() == [
        "round 1/10  1.00 min  trial 1  depth 0, width 8  loss shallow 1.000, deep 1.000",
        "client 7: [timeout] :boom:",
        "trial 1  1.50 min  deep wins, depth 2, width 8  (shallow 0.500, deep 0.750)",
    ]


def test_the_quiet_display_prints_nothing(capfd):
    told(QuietDisplay())

    assert capfd.readouterr() == ("", "")


def test_the_live_display_leaves_its_last_state_and_its_messages():
    console = terminal()

    told(LiveDisplay(console, 10))

    text = console.file.getvalue()
    last = text[text.rindex("round 1/10") :]
    assert "client 7: [timeout] :boom:" in text
    assert "depth 2, width 8" in last
    assert "deep wins" in last


def test_events_are_not_drawn_one_by_one():
    console = terminal()

    with LiveDisplay(console, None) as display:
        for server_round in range(1, 501):
            display.on_round(round_(server_round, 1, group("shallow", 1.0)))

    drawings = console.file.getvalue().count("simulated")
    assert drawings < 50


def test_an_error_within_a_live_display_gives_the_cursor_back():
    console = terminal()

    with pytest.raises(RuntimeError, match="no client replied"), LiveDisplay(console, None):
        raise RuntimeError("no client replied")

    text = console.file.getvalue()
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def test_the_display_suits_the_console():
    pipe = Console(file=io.StringIO())
    dumb = Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "dumb"})

    assert type(choose_display(terminal(), plain=False, total_rounds=None)) is LiveDisplay
    assert type(choose_display(pipe, plain=False, total_rounds=None)) is PlainDisplay
    assert type(choose_display(dumb, plain=False, total_rounds=None)) is PlainDisplay
    assert type(choose_display(terminal(), plain=True, total_rounds=None)) is PlainDisplay
