import io
import subprocess
import sys
from dataclasses import replace

import pytest
from rich.console import Console

from fedlab.results.records import CandidateRecord, ClientRecord, RoundRecord, TrialRecord, group_records
from fedlab.results.report import (
    ClientTotal,
    client_totals,
    few_points,
    is_upgrade,
    render_summary,
    render_trials,
    starting_configuration,
    summarise,
    totals_csv,
)


def adapters(depth=2, width=8):
    return {"set": "bottleneck", "depth": depth, "width": width}


def client(partition_id, *, error=None, joules=9.0, **rest):
    return ClientRecord(
        server_round=1, partition_id=partition_id, device="jetson-tx2", configuration=adapters(2, 8), num_examples=40,
        batches=10, train_loss=1.0, compute_seconds=3.0, download_seconds=0.5, upload_seconds=0.25,
        joules=joules, bytes_down=1000, bytes_up=2000, peak_memory_bytes=1000 * partition_id, error=error,
        **{"group": "all"} | rest,
    )  # fmt: skip


def round_(server_round, *, validation=None, test=None, depth=0, width=8):
    return RoundRecord(
        server_round=server_round, trial=1, simulated_seconds=100.0 * server_round,
        configuration=adapters(depth, width), groups=[], validation_accuracy=validation, test_accuracy=test,
        wall_seconds=2.0 * server_round,
    )  # fmt: skip


def trial(number, winner, *, start=(0, 8), accuracies=(0.5, 0.6, 0.4)):
    depth, width = start
    places = {"shallow": (depth, width), "deep": (depth + 2, width), "wide": (depth, width + 8)}
    candidates = [
        CandidateRecord(group=group, configuration=adapters(*place), rounds=3, seconds=60.0, joules=2000.0,
                        bytes_down=1_000_000, bytes_up=500_000, validation_accuracy=accuracy)
        for (group, place), accuracy in zip(places.items(), accuracies, strict=True)
    ]  # fmt: skip
    return TrialRecord(
        trial=number, server_round=3 * number, started_seconds=90.0 * (number - 1), ended_seconds=90.0 * number,
        budget_seconds=90.0, candidates=candidates, winner=winner, configuration=adapters(*places[winner]),
    )  # fmt: skip


def printed(renderable, width=100):
    console = Console(width=width, color_system=None, file=io.StringIO())
    console.print(renderable)
    return console.file.getvalue()


def test_a_summary_has_the_last_measured_accuracies():
    rounds = [round_(1, validation=0.5, test=0.4), round_(2, validation=0.6), round_(3)]

    summary = summarise(rounds, [], [], status="finished")

    assert (summary["accuracy"], summary["validation_accuracy"]) == (0.4, 0.6)
    assert (summary["rounds"], summary["simulated_seconds"], summary["wall_seconds"]) == (3, 300.0, 6.0)


def test_a_summary_sums_what_the_clients_spent():
    summary = summarise([round_(1)], [], [client(1), client(2), client(1, error="timeout")], status="finished")

    assert (summary["bytes_down"], summary["bytes_up"], summary["joules"]) == (3000, 6000, 27.0)
    assert summary["client_failures"] == 1
    assert summary["peak_memory_bytes"] == 2000


def test_a_summary_counts_who_dropped_out_and_why():
    lost = [client(1, error="late: no", dropout="late"), client(2, error="late: no", dropout="late")]
    lost += [client(3, error="out of memory", dropout="memory"), client(4, error="ValueError: an old record")]

    summary = summarise([round_(1)], [], [*lost, client(5, late_seconds=3.0), client(6)], status="finished")

    assert summary["dropouts"] == {"failed": 1, "late": 2, "memory": 1}
    assert (summary["client_failures"], summary["late"]) == (4, 1)


def test_a_summary_counts_how_sure_its_latencies_are():
    clients = [client(1, latency_provenance="scaled"), client(2, latency_provenance="scaled"), client(3)]
    clients.append(client(4, latency_provenance="published"))

    assert summarise([round_(1)], [], clients, status="finished")["provenance"] == {"published": 1, "scaled": 2}


def test_a_summary_counts_how_sure_powers_and_memory_are():
    clients = [
        client(1, energy_provenance="assumed", memory_provenance="scaled"),
        client(2, energy_provenance="published"),
    ]

    summary = summarise([round_(1)], [], clients, status="finished")

    assert summary["energy_provenance"] == {"assumed": 1, "published": 1}
    assert summary["memory_provenance"] == {"scaled": 1}


def test_a_summary_tells_the_energy_of_waiting_apart():
    summary = summarise([round_(1)], [], [client(1, idle_joules=2.0), client(2, idle_joules=3.0)], status="finished")

    assert (summary["joules"], summary["idle_joules"]) == (18.0, 5.0)


def test_a_round_failed_where_all_its_groups_did():
    groups = group_records([client(1, group="deep"), client(2, group="wide")], failed=["deep"])
    half, whole = replace(round_(1), groups=groups), replace(round_(2), groups=groups[:1])

    assert summarise([half, whole, round_(3)], [], [], status="finished")["failed_rounds"] == 1


def test_what_came_of_the_clients_is_shown(tmp_path):
    clients = [client(1, error="late", dropout="late"), client(2, error="gone", dropout="gone")]
    clients += [client(3, error="late", dropout="late"), client(4, late_seconds=1.0)]
    clients += [client(5, idle_joules=4.0, latency_provenance="assumed")]
    groups = group_records(clients, failed=["all"])
    summary = summarise([replace(round_(1), groups=groups)], [], clients, status="finished")

    shown = [" ".join(line.split()) for line in printed(render_summary(summary, tmp_path), width=300).splitlines()]

    assert "energy 45.0 J, 4.00 J of it waiting" in shown
    assert "latencies 1 assumed (clients' parts in rounds)" in shown
    assert "failures of clients 1 gone, 2 late" in shown
    assert "late updates 1" in shown
    assert "failed rounds 1" in shown


def test_a_summary_of_an_earlier_version_is_shown(tmp_path):
    summary = summarise([round_(1)], [], [client(1, error="no")], status="finished")
    for key in ("idle_joules", "dropouts", "late", "failed_rounds", "provenance"):
        del summary[key]

    assert "failures of clients  1" in printed(render_summary(summary, tmp_path), width=300)


def test_a_summary_has_the_configuration_the_last_round_left():
    summary = summarise([round_(1), round_(2, depth=2, width=16)], [], [], status="finished")

    assert summary["configuration"] == adapters(2, 16)


def test_a_summary_counts_trials_and_upgrades():
    trials = [trial(1, "shallow"), trial(2, "deep"), trial(3, "wide", start=(2, 8)), trial(4, "shallow", start=(2, 16))]

    summary = summarise([round_(1)], trials, [], status="finished")

    assert (summary["trials"], summary["upgrades"]) == (4, 2)


def test_a_run_without_a_round_can_be_summarised():
    summary = summarise([], [], [], status="failed")

    assert summary["accuracy"] is None
    assert summary["configuration"] is None
    assert summary["rounds"] == 0


def test_a_summary_carries_status_and_digests():
    summary = summarise([], [], [], status="finished", arrays_digest="aa", records_digest="bb")

    assert (summary["status"], summary["arrays_digest"], summary["records_digest"]) == ("finished", "aa", "bb")


@pytest.mark.parametrize(("winner", "changed"), [("shallow", False), ("deep", True), ("wide", True)])
def test_a_trial_is_an_upgrade_unless_the_smallest_candidate_won(winner, changed):
    assert starting_configuration(trial(1, winner, start=(4, 16))) == adapters(4, 16)
    assert is_upgrade(trial(1, winner, start=(4, 16))) is changed


def test_totals_are_by_partition_and_tell_failures_from_rounds():
    totals = client_totals([client(7), client(2), client(7, joules=1.0), client(7, error="timeout", joules=0.0)])

    assert [total.partition_id for total in totals] == [2, 7]
    assert (totals[1].rounds, totals[1].failures) == (2, 1)
    assert totals[1].joules == 10.0
    assert totals[1].seconds == 3 * 3.75
    assert (totals[1].bytes_down, totals[1].bytes_up) == (3000, 6000)


def test_no_client_has_no_totals():
    assert client_totals([]) == []


def test_a_trial_is_a_row_of_candidates_time_traffic_and_energy():
    rounds = [round_(2, test=0.1), round_(3, test=0.575)]

    row = printed(render_trials([trial(1, "deep")], rounds)).splitlines()[3].split()

    assert row == ["1", "deep", "2", "8", "0.500", "0.600", "0.400", "0.575", "1.50", "min", "4.50", "MB", "6.00", "kJ"]


def test_the_table_of_trials_has_a_column_for_each_axis():
    lora = {"set": "lora", "depth": 4, "rank": 8, "targets": "q,v"}
    searched = [replace(trial(1, "deep"), configuration=lora), trial(2, "shallow")]

    lines = [line.split() for line in printed(render_trials(searched, [])).splitlines()]

    assert lines[1][:6] == ["trial", "winner", "depth", "rank", "targets", "width"]
    assert lines[3][:6] == ["1", "deep", "4", "8", "q,v", "-"]
    assert lines[4][:6] == ["2", "shallow", "0", "-", "-", "8"]


def test_the_table_of_trials_fits_eighty_columns_whole():
    text = printed(render_trials([trial(number, "shallow") for number in range(1, 101)], []), width=80)

    assert "…" not in text
    assert "100 shallow" in text


def test_a_run_without_trials_says_so():
    assert "no trials" in printed(render_trials([], [round_(1)]))


def test_a_summary_shows_accuracy_and_the_files_that_were_written(tmp_path):
    (tmp_path / "final.safetensors").touch()
    (tmp_path / "rounds.jsonl").touch()
    summary = summarise([round_(1, test=0.8125)], [trial(1, "deep")], [client(1, error="timeout")], status="finished")

    lines = printed(render_summary(summary, tmp_path), width=300).splitlines()

    assert [" ".join(line.split()) for line in lines] == [
        "status finished",
        "test accuracy 0.812",
        "validation accuracy -",
        "rounds 1",
        "simulated time 1.67 min",
        "real time 2.00 s",
        "traffic 1.00 kB down, 2.00 kB up",
        "energy 9.00 J",
        "configuration depth 0, width 8",
        "trials 1, of which 1 changed the configuration",
        "failures of clients 1 with an error",
        "",
        f"arrays {tmp_path}/final.safetensors",
        f"rounds {tmp_path}/rounds.jsonl",
    ]


def test_the_scores_of_the_first_model_are_shown_beside_the_last(tmp_path):
    start = {"test": {"accuracy": 0.25, "perplexity": 8.0}, "validation": {"accuracy": 0.5}}
    summary = summarise([round_(1, test=0.8125)], [], [client(1)], status="finished") | {"start": start}

    lines = [" ".join(line.split()) for line in printed(render_summary(summary, tmp_path), width=300).splitlines()]

    assert "test measures, at the start accuracy 0.250, perplexity 8" in lines
    assert "validation measures, at the start accuracy 0.500" in lines


def test_a_deployed_run_says_so_and_what_it_does_not_know(tmp_path):
    (tmp_path / "environment.json").write_text('{"deployed": true}')
    summary = summarise([round_(1)], [], [replace(client(1), joules=0.0)], status="finished")

    lines = [" ".join(line.split()) for line in printed(render_summary(summary, tmp_path), width=300).splitlines()]

    assert "status finished, on real machines" in lines
    assert "measured time 1.67 min" in lines
    assert "energy unknown: no power of these machines is known" in lines


def test_a_run_that_was_repriced_says_from_which(tmp_path):
    summary = summarise([], [], [], status="finished") | {"repriced_from": "runs/mine"}

    assert "repriced from" in printed(render_summary(summary, tmp_path))
    assert "repriced" not in printed(render_summary(summarise([], [], [], status="finished"), tmp_path))


def test_a_report_needs_none_of_the_heavy_packages():
    code = (
        "import sys, fedlab.results.report;"
        "print(sorted({'torch', 'flwr', 'ray', 'matplotlib', 'transformers', 'pydantic'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_totals_are_written_a_line_a_client():
    total = ClientTotal(
        partition_id=3,
        device="rpi-4b",
        rounds=2,
        failures=1,
        seconds=1.5,
        joules=9.0,
        bytes_down=10,
        bytes_up=20,
        idle_seconds=0.25,
        idle_joules=0.5,
    )

    assert totals_csv([total]).splitlines() == [
        "partition_id,device,rounds,failures,seconds,joules,bytes_down,bytes_up,idle_seconds,idle_joules",
        "3,rpi-4b,2,1,1.5,9.0,10,20,0.25,0.5",
    ]


def test_a_long_run_with_hardly_a_measurement_says_why_and_what_to_change():
    searched = [round_(number, validation=0.9 if number == 30 else None) for number in range(1, 31)]
    fixed = [replace(each, trial=None) for each in searched]

    of_search = few_points(searched, [trial(1, "deep")], "accuracy")
    of_fixed = few_points(fixed, [], "entity-f1")

    assert of_search is not None
    assert of_search.startswith("accuracy was measured after 1 of 30 rounds, because a search measures it when a trial")
    assert "strategy.options.base_seconds" in of_search
    assert of_fixed == "entity-f1 was measured after 1 of 30 rounds: lower evaluation.validation_every for more"


@pytest.mark.parametrize(("rounds", "measured"), [(9, 1), (30, 3)])
def test_a_short_run_and_one_with_some_measurements_need_no_note(rounds, measured):
    records = [round_(number, validation=0.5 if number <= measured else None) for number in range(1, rounds + 1)]

    assert few_points(records, [], "accuracy") is None
