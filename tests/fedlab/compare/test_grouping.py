from pathlib import Path

from fedlab.compare.grouping import contenders, flatten, scope, seed_groups
from fedlab.compare.runs import ComparedRun


def run(path="runs/a", *, label=None, origin="runs", deployed=False, **changed):
    table = {
        "name": path, "seed": 0, "rounds": 3, "engine": {"workers": 2}, "base_folder": "/home",
        "task": {"data": "20news"}, "strategy": {"name": "fedavg"}, "client": {"name": "adapter", "depth": 2},
        "fleet": {"devices": {"jetson-tx2": 1.0}}, "link": {"options": {"bandwidth": "1MB/s"}}, "tracking": {},
    }  # fmt: skip
    for key, value in changed.items():
        table[key] = {**table[key], **value} if isinstance(value, dict) else value
    return ComparedRun(
        path=Path(path),
        origin=origin,
        label=label,
        experiment=table,
        finished=True,
        repriced=False,
        deployed=deployed,
        measured=(),
    )


def seeds(groups):
    return [[each.seed for each in group.runs] for group in groups]


def test_tables_become_dotted_keys_and_the_boards_stay_one_value():
    table = {"rounds": 3, "link": {"options": {"bandwidth": "1MB/s"}}, "fleet": {"devices": {"a": 1, "b": 2}}, "x": {}}

    assert flatten(table) == {"rounds": 3, "link.options.bandwidth": "1MB/s", "fleet.devices": {"a": 1, "b": 2}}


def test_runs_that_differ_by_seed_name_and_engine_are_one_group():
    runs = [run(), run("runs/b", seed=1, engine={"workers": 4}), run("runs/c", seed=2, base_folder="/elsewhere")]

    assert seeds(seed_groups(runs)) == [[0, 1, 2]]


def test_who_is_told_of_a_run_makes_no_other_group():
    assert seeds(seed_groups([run(), run(seed=1, tracking={"to": ["wandb"]})])) == [[0, 1]]


def test_a_deployed_run_is_never_a_seed_of_a_simulated_one():
    assert seeds(seed_groups([run(), run("runs/b", seed=1, deployed=True), run("runs/c", seed=2)])) == [[0, 2], [1]]


def test_any_other_key_makes_another_group():
    runs = [run(), run(seed=1, rounds=4), run(seed=1, client={"depth": 3}), run(seed=1, task={"limit": 9})]

    assert len(seed_groups(runs)) == 4


def test_a_label_makes_another_group():
    assert len(seed_groups([run(), run(seed=1, label="FT")])) == 2


def test_a_group_tells_its_method_from_its_setting():
    (group,) = seed_groups([run(label="FT")])

    assert group.setting == {
        "task.data": "20news",
        "fleet.devices": {"jetson-tx2": 1.0},
        "link.options.bandwidth": "1MB/s",
    }
    assert group.method == {
        "rounds": 3,
        "strategy.name": "fedavg",
        "client.name": "adapter",
        "client.depth": 2,
        "label": "FT",
    }


def test_the_same_seeds_again_from_another_folder_are_another_group():
    runs = [run("sim/0"), run("sim/1", seed=1), run("real/0"), run("real/1", seed=1)]
    runs = [
        run(str(each.path), origin=each.path.parts[0], seed=each.seed, engine={"workers": at})
        for at, each in enumerate(runs)
    ]

    groups = seed_groups(runs)

    assert seeds(groups) == [[0, 1], [0, 1]]
    assert [group.method["origin"] for group in groups] == ["sim", "real"]


def test_the_same_seed_twice_in_one_folder_stands_for_itself():
    groups = seed_groups([run("runs/a"), run("runs/b"), run("runs/c", seed=1)])

    assert seeds(groups) == [[0], [0], [1]]
    assert [group.method["origin"] for group in groups] == ["runs/a", "runs/b", "runs/c"]


def test_hindsight_joins_what_differs_in_its_keys_alone():
    runs = [run(client={"depth": depth}, rounds=rounds) for rounds in (3, 4) for depth in (1, 2)]

    found = contenders(seed_groups(runs), ["client.depth"])

    assert [len(each.candidates) for each in found] == [2, 2]
    assert "client.depth" not in found[0].method


def test_without_a_choice_there_is_no_hindsight():
    (found,) = contenders(seed_groups([run()]), ["client.depth"])

    assert len(found.candidates) == 1
    assert found.method["client.depth"] == 2


def test_hindsight_does_not_choose_the_setting():
    runs = [run(), run(link={"options": {"bandwidth": "2MB/s"}})]

    assert len(contenders(seed_groups(runs), ["link.options.bandwidth"])) == 2


def test_boards_and_links_share_a_scope_and_tasks_do_not():
    here, slower, other = (
        group.setting
        for group in seed_groups([run(), run(link={"options": {"bandwidth": "9B/s"}}), run(task={"data": "agnews"})])
    )

    assert scope(here) == scope(slower) != scope(other)
