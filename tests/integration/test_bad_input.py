"""What a user gets wrong costs one line and leaves nothing behind."""

import sys

import pytest

from fedlab.cli.main import main

WRONG = {
    "an unknown key": (["--set", "task.partition.alhpa=1"], r"unknown key task.partition.alhpa: did you mean 'alpha'?"),
    "an unknown table": (["--set", "taks.limit=1"], "unknown key taks: did you mean 'task'?"),
    "a value out of range": (["--set", "task.partition.clients=0"], "task.partition.clients = 0"),
    "a value of the wrong kind": (["--set", "rounds=many"], "rounds = 'many'"),
    "a setting without a value": (["--set", "rounds"], "--set rounds: expected key=value"),
    "a setting below a value": (["--set", "name.first=x"], "--set name.first=x: 'name' is a value"),
    "a negative seed": (["--seed", "-1"], "seed = -1"),
    "no workers": (["--workers", "0"], "--workers"),
    "a missing data file": (["--set", "task.data=nowhere.csv"], "missing data file: task.data = 'nowhere.csv'"),
    "a column that is not there": (["--set", "task.label=lable"], "no column 'lable'"),
    "a label outside the set": (["--set", "task.labels=['day']"], "'night'"),
    "more clients than samples": (
        ["--set", "task.partition.clients=500"],
        "task.partition.clients = 500: there are only",
    ),
    "an empty partition": (
        ["--set", "task.partition={scheme = 'quantity', growth = 'exponential', clients = 60}"],
        "partition 0 would be empty",
    ),
    "a depth above the blocks": (["--set", "client.depth=3"], "client.depth = 3: the encoder has 2 blocks"),
    "an unknown strategy": (["--set", "strategy.name=adaflow"], "no such name 'adaflow': did you mean 'adafl'?"),
    "an unknown strategy option": (
        ["--set", "strategy.options.base_secondes=1"],
        "unknown key strategy.options.base_secondes: did you mean 'base_seconds'?",
    ),
    "a strategy option that cannot be": (["--set", "strategy.options.base_seconds=-1"], "base_seconds"),
    "too few clients asked": (
        ["--set", "strategy.options.over_selection=0.5"],
        "over_selection: 0.5, expected a factor",
    ),
    "a strategy that is none": (
        ["--set", "strategy={name = 'json:JSONDecoder'}"],
        "does not subclass flwr.serverapp.strategy.Strategy",
    ),
    "an unknown client option": (["--set", "client.options.learnig_rate=1"], "did you mean 'learning_rate'?"),
    "an unknown optimiser": (
        ["--set", "client.options.optimizer=adam"],
        "client.options.optimizer = 'adam': expected one of sgd, adamw",
    ),
    "a client file that is not there": (["--set", "client.name=mine.py:app"], "no such file"),
    "a client that is not in its file": (["--set", "client.name=clients.py:faling"], "did you mean 'failing'?"),
    "an unknown link": (["--set", "link.name=constnt"], "did you mean 'constant'?"),
    "a bandwidth without a unit": (["--set", "link.options.bandwidth='fast'"], "bandwidth 'fast' is not usable"),
    "no such device": (["--set", "fleet.devices={jetson-tx3 = 1}"], "unknown device 'jetson-tx3'"),
    "an unknown backbone": (["--set", "backbone.name=./bert"], "backbone.name"),
    "more clients a round than clients": (
        ["--set", "strategy.options.clients_per_round=10"],
        "strategy.options.clients_per_round = 10: more than there are clients (9)",
    ),
    "fewer clients than Flower's own strategies wait for": (
        ["--set", "strategy={name = 'flwr.serverapp.strategy:FedAvg'}", "--set", "task.partition.clients=1"],
        "strategy.options.min_available_nodes = 2: more than there are clients (1)",
    ),
}


@pytest.fixture
def command(fedlab, monkeypatch, capfd):
    """Return a function that runs the command line in this process: its exit code and what it said on stderr."""
    for key in ("FEDLAB_CACHE", "COLUMNS", "TERM"):
        monkeypatch.setenv(key, fedlab.environment[key])
    monkeypatch.chdir(fedlab.folder)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["fedlab", *map(str, words)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capfd.readouterr().err

    return call


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_experiment_costs_one_line_and_leaves_nothing_behind(command, fedlab, what):
    words, expected = WRONG[what]
    code, said = command("run", "small.toml", "--out", "wrong", *words)
    assert code == 2
    assert said.startswith("fedlab: ")
    assert expected in said
    assert said.count("\n") == 1
    assert not (fedlab.folder / "wrong").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--set", "engine.device=cuda"], "engine.device = 'cuda': Ray finds no GPU here; accepted: cpu"),
        (["--ray-address", "127.0.0.1:1"], "engine.ray_address = '127.0.0.1:1': no Ray cluster can be joined there: "),
    ],
    ids=["a GPU that is not there", "an address that no cluster is at"],
)
def test_a_wrong_engine_costs_one_line_and_leaves_nothing_behind(fedlab, words, expected):
    ended = fedlab("run", "small.toml", "--out", "engineless", *words, CUDA_VISIBLE_DEVICES="")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert ended.err.startswith(f"fedlab: {expected}")
    assert not ended.run.exists()


@pytest.mark.slow
def test_a_link_that_returns_nonsense_costs_one_line_and_leaves_nothing_behind(fedlab):
    (fedlab.folder / "slow.py").write_text(
        "class Slow:\n"
        "    def transfer_seconds(self, num_bytes, *, direction, partition_id, server_round, start_seconds):\n"
        "        return float('nan')\n"
    )
    ended = fedlab.run("nonsense", "--set", "link.name=slow.py:Slow")
    expected = "link.name = 'slow.py:Slow': transfer_seconds returned nan, expected a finite number from 0 up"
    assert (ended.code, ended.err) == (2, f"fedlab: {expected}\n")
    assert not ended.run.exists()


def test_an_experiment_file_that_is_not_there_is_named(command):
    assert command("run", "other.toml") == (2, "fedlab: other.toml: cannot be read: No such file or directory\n")


def test_an_experiment_that_is_not_toml_is_named_with_the_place(command, fedlab):
    (fedlab.folder / "broken.toml").write_text("rounds = 3\nname =\n")
    code, said = command("run", "broken.toml")
    assert code == 2
    assert said.startswith("fedlab: broken.toml: is not TOML: ")
    assert "line 2" in said


def test_neither_an_experiment_nor_a_run_to_resume_is_not_enough(command):
    code, said = command("run")
    assert (code, said) == (2, "fedlab: give either an experiment file or --resume RUN\n")


def test_a_resumed_run_cannot_be_changed(command):
    code, said = command("run", "--resume", "somewhere", "--seed", "1")
    assert code == 2
    assert "--resume continues a run in its own folder: --seed and --out are not accepted" in said


@pytest.mark.parametrize("words", [("show",), ("verify",), ("run", "--resume")])
def test_a_run_folder_that_is_none_is_refused(command, tmp_path, words):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "empty").mkdir()
    for name, expected in (("nothing", "no such run folder"), ("file", "a file"), ("empty", "not a run folder")):
        code, said = command(*words, tmp_path / name)
        assert code == 2
        assert expected in said
        assert said.count("\n") == 1
    assert (tmp_path / "file").read_text() == "mine"
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_run_folder_with_a_broken_record_is_refused_by_file_and_line(command, base, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "experiment.toml").write_text((base.run / "experiment.toml").read_text())
    (broken / "rounds.jsonl").write_text('{"server_round": 1\n')
    code, said = command("show", broken)
    assert code == 1
    assert "rounds.jsonl, line 1: not a record" in said
    assert said.count("\n") == 1


def test_verify_of_a_run_that_has_not_ended_says_so(command, base, tmp_path):
    begun = tmp_path / "begun"
    begun.mkdir()
    (begun / "experiment.toml").write_text((base.run / "experiment.toml").read_text())
    code, said = command("verify", begun)
    assert (code, said.count("\n")) == (1, 1)
    assert "the run has not ended" in said


@pytest.mark.slow
def test_a_name_of_the_hub_is_refused_at_once_while_offline(fedlab):
    ended = fedlab("run", "small.toml", "--out", "hub", "--set", "backbone.name=someone/a-bert", HF_HUB_OFFLINE="1")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert ended.err.startswith("fedlab: backbone.name: 'someone/a-bert' is no folder here or below $FEDLAB_MODELS, ")
    assert "from the hub (offline)" in ended.err
    assert not (fedlab.folder / "hub").exists()


@pytest.mark.slow
def test_a_data_set_of_the_hub_that_was_never_fetched_is_refused_while_offline(fedlab, tmp_path):
    folders = {"FEDLAB_CACHE": str(tmp_path / "cache"), "HF_HOME": str(tmp_path / "home")}
    words = ("run", "small.toml", "--out", "hub-data", "--set", "task.data=someone/some-texts")
    before = set(fedlab.folder.iterdir())
    ended = fedlab(*words, HF_HUB_OFFLINE="1", **folders)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert ended.err.startswith("fedlab: hub data set 'someone/some-texts': ")
    assert set(fedlab.folder.iterdir()) == before
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} <= {"lock"}  # of those that use the cache


def test_a_wrong_word_on_the_command_line_costs_one_line_too(command):
    for words in (
        ("list", "colours"),
        ("list", "devices", "--width", "8"),
        ("run", "small.toml", "--speed", "9"),
        ("fly",),
    ):
        code, said = command(*words)
        assert (code, said.count("\n")) == (2, 1), said


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("strategies", ["adafl", "fedavg", "flwr.serverapp.strategy"]),
        ("clients", ["adapter"]),
        ("devices", ["jetson-tx2", "jetson-nano", "rpi-4b"]),
        ("links", ["constant", "per_client", "asymmetric", "uniform", "log_normal", "table", "trace"]),
        ("availability", ["always", "bernoulli", "trace"]),
        ("datasets", ["docstrings"]),
        ("backbones", ["bert-base", "distilbert-base", "bert-tiny"]),
    ],
)
def test_every_kind_of_name_can_be_listed(fedlab, monkeypatch, capsys, what, names):
    monkeypatch.setattr(sys, "argv", ["fedlab", "list", what])
    main()
    said = capsys.readouterr().out
    assert [name for name in names if name in said] == names


def test_a_boards_table_can_be_printed(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["fedlab", "list", "devices", "jetson-tx2"])
    main()
    assert "batches of 4 x 256 tokens" in " ".join(capsys.readouterr().out.split())
