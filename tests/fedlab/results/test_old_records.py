"""Records of earlier versions have the fields of this one, and say no more than those versions knew."""

import json
from pathlib import Path

import pytest

from fedlab.results.folder import RunFolder
from fedlab.results.old_records import trained_set, upgraded

OLD_RUNS = Path(__file__).parent / "old_runs"


def client(method="adapter", group="deep", depth=2, width=8, **rest):
    return {"server_round": 1, "group": group, "method": method, "depth": depth, "width": width} | rest


def configuration(line, trained="bottleneck", kind="clients"):
    return upgraded(kind, line, trained)["configuration"]


def test_depth_and_width_become_a_configuration_and_other_fields_stay():
    line = upgraded("clients", client(batch_size=4, sequence_length=64, peak=1), "bottleneck")

    assert line == {
        "server_round": 1, "group": "deep", "peak": 1,
        "configuration": {"set": "bottleneck", "depth": 2, "width": 8},
        "old_work": {"method": "adapter", "batch_size": 4, "sequence_length": 64, "depth": 2, "width": 8},
    }  # fmt: skip


def test_levels_of_provenance_have_their_new_names():
    line = client(latency_standing="scaled", energy_standing="assumed", memory_standing="")

    renamed = upgraded("clients", line, "bottleneck")

    assert renamed["latency_provenance"] == "scaled"
    assert renamed["energy_provenance"] == "assumed"
    assert renamed["memory_provenance"] == ""
    assert not any("standing" in name for name in renamed)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("adapter", {"set": "bottleneck", "depth": 2, "width": 1}),
        ("freeze", {"set": "blocks", "depth": 2}),
        ("full", {"set": "everything"}),
        ("evaluate", {"set": "bottleneck", "depth": 2, "width": 1}),
    ],
)
def test_the_set_is_that_of_the_clients_method(method, expected):
    line = client(method, width=1)

    assert configuration(line, trained_set([line])) == expected


def test_the_set_is_that_of_the_first_client_that_says_it():
    assert trained_set([client("prefill"), client(""), client("freeze"), client("adapter")]) == "blocks"


def test_a_version_without_methods_trained_adapters():
    line = client()
    del line["method"]

    assert trained_set([line]) == "bottleneck"
    assert configuration(line) == {"set": "bottleneck", "depth": 2, "width": 8}


def test_the_set_is_sought_no_further_than_the_first_record_of_this_version():
    def lines():
        yield {"configuration": {"set": "lora"}}
        raise AssertionError("read on")

    assert trained_set(lines()) == "bottleneck"


def test_clients_without_adapters_had_no_width():
    assert configuration(client(depth=0, width=1)) == {"set": "bottleneck", "depth": 0}
    assert configuration(client("prefill", group="prefill", width=1)) == {"set": "bottleneck", "depth": 2}


def test_of_a_client_that_failed_the_axes_are_unknown():
    assert configuration(client("", depth=0, width=1, error="ValueError: no")) == {"set": "bottleneck"}


def test_a_round_keeps_the_width_the_first_adapters_will_have_and_its_groups_do_not():
    line = {"server_round": 1, "depth": 0, "width": 8, "groups": [{"group": "shallow", "depth": 0, "width": 1}]}

    record = upgraded("rounds", line, "bottleneck")

    assert record["configuration"] == {"set": "bottleneck", "depth": 0, "width": 8}
    assert record["groups"] == [{"group": "shallow", "configuration": {"set": "bottleneck", "depth": 0}}]


def test_a_trial_and_its_candidates_keep_depth_and_width():
    candidates = [{"group": "shallow", "depth": 0, "width": 8}, {"group": "wide", "depth": 0, "width": 16}]
    line = {"trial": 1, "winner": "wide", "depth": 0, "width": 16, "candidates": candidates}

    record = upgraded("trials", line, "bottleneck")

    assert record["configuration"] == {"set": "bottleneck", "depth": 0, "width": 16}
    assert [each["configuration"]["width"] for each in record["candidates"]] == [8, 16]


def test_records_of_this_version_are_left_alone():
    group = {"group": "deep", "configuration": {"set": "lora", "depth": 2, "rank": 8}}
    line = {"server_round": 1, "configuration": {"set": "lora", "depth": 2, "rank": 8}, "groups": [group]}

    assert upgraded("rounds", line, "blocks") == line
    assert upgraded("clients", group, "blocks") == group


@pytest.mark.parametrize(("kind", "line"), [("rounds", {"depth": 1}), ("clients", {"depth": 1}), ("trials", {})])
def test_a_line_that_is_no_record_raises(kind, line):
    with pytest.raises(KeyError):
        upgraded(kind, line, "bottleneck")


def test_all_records_of_an_old_search_are_read():
    folder = RunFolder(OLD_RUNS / "adafl")
    rounds, trials, clients = folder.rounds(), folder.trials(), folder.clients()

    assert [(trial.winner, trial.configuration) for trial in trials][:2] == [
        ("deep", {"set": "bottleneck", "depth": 2, "width": 8}),
        ("shallow", {"set": "bottleneck", "depth": 2, "width": 8}),
    ]
    assert [record.configuration["depth"] for record in rounds] == 5 * [0] + 7 * [2]
    assert {group.group: group.configuration for group in rounds[0].groups} == {
        "prefill": {"set": "bottleneck", "depth": 0},
        "shallow": {"set": "bottleneck", "depth": 0},
        "deep": {"set": "bottleneck", "depth": 2, "width": 8},
        "wide": {"set": "bottleneck", "depth": 0},
    }
    assert {client.latency_provenance for client in clients} == {"scaled"}


def test_all_records_of_an_old_run_of_whole_blocks_are_read():
    folder = RunFolder(OLD_RUNS / "freeze")
    blocks = {"set": "blocks", "depth": 1}

    assert [record.configuration for record in folder.rounds()] == [blocks, blocks]
    assert [group.configuration for record in folder.rounds() for group in record.groups] == [blocks, blocks]
    assert [
        (each.configuration, each.old_work["method"], each.old_work["batch_size"]) for each in folder.clients()
    ] == 6 * [(blocks, "freeze", 4)]


def test_the_lines_of_an_old_run_can_be_had_as_they_were_written():
    folder = RunFolder(OLD_RUNS / "freeze")

    assert folder.written_lines("clients") == [json.loads(line) for line in folder.clients_file.open()]
