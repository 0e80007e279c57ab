"""Runs whose clients are planned ones: the server, boards, links and clock of a simulation, without training."""

import json
from dataclasses import asdict, replace

import pytest

from fedlab.config.file import experiment_from
from fedlab.data.report import ClientLabels, DataReport, ImageReport
from fedlab.errors import UserError
from fedlab.reprice.reprice import billing_key, changed_experiment, reprice, why_not
from fedlab.results.digests import compare_runs, verify_run
from fedlab.results.records import group_records

BASE = {
    "name": "small",
    "rounds": 3,
    "task": {"max_length": 16, "partition": {"clients": 8}},
    "backbone": {"name": "bert-tiny"},
    "strategy": {"name": "fedavg", "options": {"clients_per_round": 4}},
    "client": {"depth": 1},
    "fleet": {"devices": {"jetson-tx2": 1, "jetson-nano": 1}},
    "link": {"options": {"bandwidth": "1MB/s"}},
}
SEARCHING = {"strategy": {"name": "adafl", "options": {"clients_per_round": 6, "base_seconds": 0.05}}}


def experiment(**changed):
    return experiment_from(BASE | changed, "test")


def refusal(act):
    with pytest.raises(UserError) as caught:
        act()
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    """Draw nothing, which takes most of the time."""
    monkeypatch.setattr("fedlab.results.write.plot_accuracy", lambda rounds, trials, path, **_: path.touch())
    monkeypatch.setattr("fedlab.results.write.try_report", lambda *_: None)


@pytest.fixture
def source(planned_run, tmp_path):
    return planned_run(experiment(), tmp_path / "source")


ELSEWHERE = {
    "a slower link": {"link": {"options": {"bandwidth": "0.1MB/s", "latency_seconds": 0.3}}},
    "links drawn for each client and round": {
        "link": {"name": "uniform", "options": {"low": "0.1MB/s", "high": "10MB/s"}}
    },
    "other boards": {"fleet": {"devices": {"rpi-4b": 2, "jetson-tx2": 1}}},
    "boards of all speeds": {"fleet": {"throughput": {"distribution": "uniform", "low": 1, "high": 20}}},
    "a server with a narrow line": {"link": {"server_bandwidth_up": "50kB/s"}},
}


@pytest.mark.parametrize("where", ELSEWHERE)
def test_a_repriced_run_is_the_run_made_there(where, source, planned_run, tmp_path):
    there = experiment(**ELSEWHERE[where])
    made = planned_run(there, tmp_path / "made")

    reprice(source, there, tmp_path / "billed")

    billed = type(source)(tmp_path / "billed")
    assert compare_runs(billed, made) == []
    assert billed.rounds()[-1].simulated_seconds != source.rounds()[-1].simulated_seconds
    assert [record.test_accuracy for record in billed.rounds()] == [0.1, 0.2, 0.3]


def test_whole_models_are_repriced_too(planned_run, tmp_path):
    full = {"client": {"name": "full"}, "codec": {"up": ["int8"]}}
    source = planned_run(experiment(**full), tmp_path / "source")
    there = experiment(**full, **ELSEWHERE["other boards"])

    reprice(source, there, tmp_path / "billed")

    assert compare_runs(type(source)(tmp_path / "billed"), planned_run(there, tmp_path / "made")) == []


def test_rounds_in_which_clients_evaluate_after_training_are_repriced_too(planned_run, tmp_path):
    flower = {"strategy": {"name": "flwr.serverapp.strategy:FedAvg", "options": {"fraction_train": 0.5}}}
    source = planned_run(experiment(**flower), tmp_path / "source")
    there = experiment(**flower, **ELSEWHERE["other boards"])
    assert {record.group for record in source.clients()} == {"train", "evaluate"}

    reprice(source, there, tmp_path / "billed")

    assert compare_runs(type(source)(tmp_path / "billed"), planned_run(there, tmp_path / "made")) == []


def test_caches_filled_before_the_first_round_are_repriced_too(planned_run, tmp_path):
    filling = {"client": {"depth": 1, "prefill": True}}
    source = planned_run(experiment(**filling), tmp_path / "source")
    there = experiment(**filling, **ELSEWHERE["other boards"])
    assert [group.group for group in source.rounds()[0].groups] == ["prefill", "train"]

    reprice(source, there, tmp_path / "billed")

    assert compare_runs(type(source)(tmp_path / "billed"), planned_run(there, tmp_path / "made")) == []


IMAGES = {
    "task": {"kind": "image", "image_shape": [1, 16, 16], "partition": {"clients": 8}},
    "backbone": {"name": "lenet"},
    "fleet": {"devices": {"snapdragon-888": 1, "snapdragon-750g": 1}},
}
OF_IMAGES = {
    "fp32": {"client": {"name": "full"}},
    "integers": {
        "client": {"name": "integer", "options": {"processor": "dsp"}},
        "strategy": {"name": "q-fedupdate", "options": {"clients_per_round": 4}},
    },
    "mixed precision": {"client": {"name": "mixed-precision", "options": {"algorithm": "mls"}}},
}


@pytest.mark.parametrize("how", OF_IMAGES)
def test_runs_on_images_are_repriced_too_and_again_from_what_that_gave(planned_run, tmp_path, how):
    def of(phone):
        return experiment(**IMAGES | OF_IMAGES[how] | ({"fleet": {"devices": {phone: 1}}} if phone else {}))

    def run(name):
        return type(source)(tmp_path / name)

    source = planned_run(of(None), tmp_path / "source")
    with pytest.raises(UserError, match=r"data\.json: cannot be read, and the size of the images is in it"):
        reprice(source, of("snapdragon-865"), tmp_path / "refused")
    source.data.write_text(json.dumps(read_images(shape=[1, 16, 16], labels=2)))

    reprice(source, of("snapdragon-865"), tmp_path / "billed")
    reprice(run("billed"), of("snapdragon-750g"), tmp_path / "again")

    for name, phone in (("billed", "snapdragon-865"), ("again", "snapdragon-750g")):
        assert compare_runs(run(name), planned_run(of(phone), tmp_path / f"made-{name}")) == []
    slow, fast = (run(name).rounds()[-1].simulated_seconds for name in ("again", "billed"))
    assert slow > fast
    assert run("billed").summary()["joules"] != source.summary()["joules"]


def read_images(shape, labels):
    images = ImageReport(shape=shape, num_labels=labels, mean=[0.5], std=[0.5])
    holdings = ClientLabels(examples=[], without_client=0, labels=[], counts=[])
    report = DataReport(
        data="images", kind="image", max_length=0, splits={}, left_out={}, duplicates={}, clients=holdings,
        images=images,
    )  # fmt: skip
    return report.plain()


def test_a_repriced_run_begins_with_the_same_score(source, tmp_path):
    source.write_start({"test": {"accuracy": 0.25}})

    assert reprice(source, experiment(), tmp_path / "billed")["start"] == {"test": {"accuracy": 0.25}}


def test_the_new_folder_is_a_whole_run_that_says_where_it_comes_from(source, tmp_path):
    summary = reprice(source, experiment(**ELSEWHERE["other boards"]), tmp_path / "billed")

    billed = type(source)(tmp_path / "billed")
    verify_run(billed)
    assert billed.summary() == summary
    assert summary["repriced_from"] == str(source.path)
    assert summary["run_dir"] == str(tmp_path / "billed")
    assert str(source.path) in billed.log.read_text()
    assert billed.plot.exists()
    assert billed.client_totals.exists()
    assert billed.experiment_table()["fleet"]["devices"] == {"rpi-4b": 2.0, "jetson-tx2": 1.0}
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_repriced_run_can_be_repriced(source, planned_run, tmp_path):
    reprice(source, experiment(**ELSEWHERE["other boards"]), tmp_path / "there")

    reprice(type(source)(tmp_path / "there"), experiment(), tmp_path / "back")

    assert compare_runs(type(source)(tmp_path / "back"), source) == []


def test_a_client_that_failed_by_itself_costs_nothing_elsewhere_either(planned_run, tmp_path):
    alike = {"fleet": {"devices": {"jetson-tx2": 1}}}  # then the round lasts as long without the one that fails
    source = planned_run(experiment(**alike), tmp_path / "source")
    let_fail(source, 0)

    reprice(source, experiment(**ELSEWHERE["other boards"]), tmp_path / "billed")

    failed, *others = type(source)(tmp_path / "billed").clients()
    assert (failed.error, failed.joules, failed.bytes_down, failed.seconds) == ("ValueError: broken", 0, 0, 0)
    assert failed.device in ("rpi-4b", "jetson-tx2")
    assert all(each.joules > 0 for each in others)
    assert type(source)(tmp_path / "billed").rounds()[0].groups[0].failures == 1


def let_fail(folder, at):
    """Change the records of a run as if one client had raised an error."""
    spent = ("compute_seconds", "download_seconds", "upload_seconds", "joules", "idle_seconds", "idle_joules")
    nothing = dict.fromkeys((*spent, "bytes_down", "bytes_up", "peak_memory_bytes", "batches", "num_examples"), 0)
    clients, rounds = folder.clients(), folder.rounds()
    clients[at] = replace(
        clients[at], error="ValueError: broken", dropout="failed", passes=None, latency_provenance="", train_loss=None,
        **nothing,
    )  # fmt: skip
    rounds = [replace(r, groups=group_records(c for c in clients if c.server_round == r.server_round)) for r in rounds]
    for file, records in ((folder.clients_file, clients), (folder.rounds_file, rounds)):
        file.write_text("".join(json.dumps(asdict(record)) + "\n" for record in records))


def test_a_search_is_refused_with_the_reason(planned_run, tmp_path):
    source = planned_run(experiment(**SEARCHING), tmp_path / "source")

    message = refusal(lambda: reprice(source, experiment(**SEARCHING, link={}), tmp_path / "billed"))

    assert "the strategy 'adafl' searches by what its trials take" in message
    assert not (tmp_path / "billed").exists()


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"simulated_hours": 1.0}, "it stops when its clock says so"),
        ({"availability": {"name": "bernoulli", "options": {"dropout": 0.1}}}, "its clients come and go"),
        ({"strategy": {"name": "fedavg", "options": {"deadline_seconds": 9.0}}}, "who is left out of a round"),
        ({"strategy": {"name": "fedavg", "options": {"over_selection": 1.5}}}, "who is left out of a round"),
        (SEARCHING, "searches"),
    ],
)
def test_what_may_depend_on_time_is_not_repriced(changed, reason):
    assert reason in why_not(experiment(**changed))


@pytest.mark.parametrize("name", ["fedavg", "flwr.serverapp.strategy:FedAdam"])
def test_what_cannot_depend_on_time_is_repriced(name):
    assert why_not(experiment(strategy={"name": name})) is None


def test_a_strategy_of_ones_own_is_taken_at_its_word(tmp_path):
    text = "from flwr.serverapp.strategy import FedAvg\nclass Mine(FedAvg):\n    pass\n"
    (tmp_path / "silent.py").write_text(text)
    (tmp_path / "said.py").write_text(text.replace("pass", "decides_by_time = False"))

    def reason(file):
        return why_not(experiment(strategy={"name": f"{file}:Mine"}, base_folder=str(tmp_path)))

    assert "give it decides_by_time = False" in reason("silent.py")
    assert reason("said.py") is None


def test_a_run_that_has_not_ended_is_refused(planned_run, tmp_path):
    source = planned_run(experiment(), tmp_path / "source", finished=False)

    assert "has not ended" in refusal(lambda: reprice(source, experiment(), tmp_path / "billed"))


def test_a_run_of_another_experiment_is_refused(source, tmp_path):
    other = experiment(client={"depth": 2})

    assert "is of another experiment" in refusal(lambda: reprice(source, other, tmp_path / "billed"))


def test_records_that_do_not_follow_from_the_runs_own_boards_are_refused(source, tmp_path):
    text = source.rounds_file.read_text().replace('"simulated_seconds": 0.0', '"simulated_seconds": 0.1', 1)
    source.rounds_file.write_text(text)

    message = refusal(lambda: reprice(source, experiment(), tmp_path / "billed"))

    assert "its records are not what its own boards and links come to" in message


def rewrite(folder, change):
    """Change the clients' records of a run, as they stand in its file."""
    records = [change(json.loads(line)) for line in folder.clients_file.read_text().splitlines()]
    folder.clients_file.write_text("".join(json.dumps(record) + "\n" for record in records))


def with_a_method(record):
    """Return a record as it was written before there were passes."""
    known = {key: value for key, value in record.items() if key not in ("passes", "old_work", "configuration")}
    axes = {axis: record["configuration"][axis] for axis in ("depth", "width")}
    return known | axes | {"method": "adapter", "batch_size": 4, "sequence_length": 16}


def test_records_that_name_a_method_are_billed_as_the_passes_they_stood_for(source, tmp_path):
    there = experiment(**ELSEWHERE["other boards"])
    reprice(source, there, tmp_path / "new")
    rewrite(source, with_a_method)
    assert {record.old_work["method"] for record in source.clients()} == {"adapter"}

    reprice(source, there, tmp_path / "old")

    old, new = (type(source)(tmp_path / name).clients() for name in ("old", "new"))
    assert [replace(record, passes=None, old_work=None) for record in old] == [
        replace(record, passes=None) for record in new
    ]


def test_records_of_an_earlier_version_are_refused(source, tmp_path):
    rewrite(source, lambda record: record | {"passes": None})

    assert "of an earlier version" in refusal(lambda: reprice(source, experiment(), tmp_path / "billed"))


def test_a_board_that_some_client_would_not_fit_on_is_refused(source, tmp_path):
    (tmp_path / "tiny.toml").write_text(
        "memory_bytes = 1e6\ncomputing_watts = 1\ncommunicating_watts = 1\nidle_watts = 1\n"
        '[latency_seconds.bert.adapter]\nvalues = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\nprovenance = "measured"\n'
    )
    there = experiment(fleet={"devices": {"tiny.toml": 1}}, base_folder=str(tmp_path))

    message = refusal(lambda: reprice(source, there, tmp_path / "billed"))

    assert "would drop out: out of memory" in message


def test_a_folder_that_is_taken_is_left_alone(source, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()

    assert "choose another --out" in refusal(lambda: reprice(source, experiment(), tmp_path / "mine"))
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["file"]


def test_only_boards_and_links_can_be_changed(source):
    changed = changed_experiment(source, ["link.options.bandwidth=2MB/s", "name=there"])

    assert (changed.link.options, changed.name) == ({"bandwidth": "2MB/s"}, "there")
    assert "only keys of fleet and link" in refusal(lambda: changed_experiment(source, ["rounds=9"]))
    assert "link.speed" in refusal(lambda: changed_experiment(source, ["link.speed=9"]))


def test_experiments_that_share_their_training_have_the_same_key():
    key = billing_key(experiment())

    assert all(billing_key(experiment(**there)) == key for there in ELSEWHERE.values())
    assert billing_key(experiment(name="other", label="FT", engine={"workers": 3})) == key
    assert billing_key(experiment(seed=1)) != key
    assert billing_key(experiment(engine={"pack": 1})) != key


def test_the_folders_above_the_new_one_are_made_where_they_are_missing(source, tmp_path):
    out = tmp_path / "sweeps" / "boards" / "billed"
    reprice(source, experiment(**ELSEWHERE["other boards"]), out)
    assert [path.name for path in out.parent.iterdir()] == ["billed"]  # nothing is left of the scratch folder
    assert (out / "summary.json").exists()
