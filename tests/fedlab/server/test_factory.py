"""Links, availability and codecs are made by name, with the experiment's seed and folder filled in."""

import math

import pytest
from flwr.serverapp.strategy import FedAvg
from pydantic import ValidationError

from fedlab.config.schema import AvailabilityTable, CodecTable, Experiment, LinkTable, StrategyTable
from fedlab.errors import UserError
from fedlab.server.factory import codec_names, load_availability, load_coding, load_link, load_strategy


def seconds(link, num_bytes: int, server_round: int = 1) -> float:
    return link.transfer_seconds(
        num_bytes, direction="down", partition_id=0, server_round=server_round, start_seconds=0.0
    )


def drawn(experiment_seed: int, **options) -> float:
    table = LinkTable(name="uniform", options={"low": "1MB/s", "high": "9MB/s"} | options)
    return seconds(load_link(Experiment(rounds=1, seed=experiment_seed, link=table)), 10**6)


def test_a_link_draws_from_the_experiments_seed_or_one_of_its_own():
    assert drawn(1) == drawn(1) != drawn(2)
    assert drawn(1, seed=2) == drawn(2)


def test_the_trace_of_a_link_lies_where_the_experiment_file_does(tmp_path):
    (tmp_path / "cell").write_text("1\n")
    table = LinkTable(name="trace", options={"path": "cell"})
    link = load_link(Experiment(rounds=1, link=table, base_folder=str(tmp_path)))
    assert seconds(link, 1_500_000) == pytest.approx(1.0)


def test_clients_are_always_there_if_nothing_is_said():
    clients = load_availability(Experiment(rounds=1))
    assert clients.until(0, server_round=1, at_seconds=3.0) == math.inf


def test_availability_draws_from_the_experiments_seed():
    def silent(seed: int) -> list[bool]:
        table = AvailabilityTable(name="bernoulli", options={"dropout": 0.5})
        clients = load_availability(Experiment(rounds=1, seed=seed, availability=table))
        return [clients.until(client, server_round=1, at_seconds=0.0) == 0.0 for client in range(64)]

    assert silent(1) == silent(1) != silent(2)


def test_a_trace_of_availability_lies_where_the_experiment_file_does(tmp_path):
    (tmp_path / "nights.csv").write_text("partition_id,on_seconds,off_seconds\n0,10,20\n")
    table = AvailabilityTable(name="trace", options={"path": "nights.csv"})
    clients = load_availability(Experiment(rounds=1, availability=table, base_folder=str(tmp_path)))
    assert clients.available(5, server_round=1, at_seconds=15.0)


def test_availability_of_a_users_own_is_named_by_its_file(tmp_path):
    (tmp_path / "weekend.py").write_text(
        "class Weekend:\n"
        "    def available(self, partition_id, *, server_round, at_seconds): return False\n"
        "    def until(self, partition_id, *, server_round, at_seconds): return at_seconds\n"
        "    def next_change(self, at_seconds): return at_seconds + 1\n"
        "def nobody(): return 1\n"
    )
    experiment = Experiment(
        rounds=1, base_folder=str(tmp_path), availability=AvailabilityTable(name="weekend.py:Weekend")
    )
    assert load_availability(experiment).next_change(4.0) == 5.0
    wrong = experiment.model_copy(update={"availability": AvailabilityTable(name="weekend.py:nobody")})
    with pytest.raises(UserError, match="what it returns lacks available, until or next_change"):
        load_availability(wrong)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("bernouli", {}, "no such name 'bernouli': did you mean 'bernoulli'?"),
        ("bernoulli", {"drop": 1}, "unknown key availability.options.drop: did you mean 'dropout'?"),
        ("trace", {}, "missing key availability.options.path"),
    ],
)
def test_a_name_or_an_option_that_does_not_exist_is_refused(name, options, said):
    with pytest.raises(UserError) as caught:
        load_availability(Experiment(rounds=1, availability=AvailabilityTable(name=name, options=options)))
    assert said in str(caught.value)


FLOWERS = "flwr.serverapp.strategy:"
PRIVATE = f"{FLOWERS}DifferentialPrivacyServerSideFixedClipping"
BUDGET = {"noise_multiplier": 1.0, "clipping_norm": 0.5, "num_sampled_clients": 2}


def strategy(name, **options):
    return load_strategy(Experiment(rounds=1, strategy=StrategyTable(name=name, options=options)))


@pytest.mark.parametrize(
    "inner", [f"{FLOWERS}FedAvg", {"name": f"{FLOWERS}FedAvg", "options": {"fraction_train": 0.25}}], ids=type
)
def test_a_strategy_around_another_names_it_and_its_options(inner):
    made = strategy(PRIVATE, strategy=inner, **BUDGET)
    assert isinstance(made.strategy, FedAvg)
    assert made.strategy.fraction_train == (0.25 if isinstance(inner, dict) else 1.0)


@pytest.mark.parametrize(
    ("inner", "said"),
    [
        ("fedavgg", "no such name 'fedavgg': did you mean 'fedavg'?"),
        ({"name": "fedavg", "options": {"clients": 1}}, "unknown key strategy.options.strategy.options.clients"),
        ({"name": "fedavg", "option": {}}, "strategy.options.strategy = {'name': 'fedavg', 'option': {}}: expected a"),
        ({"name": "fedavg", "options": 3}, "strategy.options.strategy.options = 3: expected a table"),
        (7, "strategy.options.strategy = 7: expected a name, or a table of name and options"),
        ({"name": "adafl", "options": {"clients_per_round": 6}}, "a strategy that searches by trials cannot be within"),
    ],
)
def test_a_wrong_strategy_within_another_is_refused_with_its_place(inner, said):
    with pytest.raises(UserError) as caught:
        strategy(PRIVATE, strategy=inner, **BUDGET)
    assert said in str(caught.value)


def test_a_strategy_looks_for_the_loss_under_the_name_that_clients_report():
    assert strategy(f"{FLOWERS}QFedAvg", client_learning_rate=0.1).train_loss_key == "train-loss"
    assert strategy(f"{FLOWERS}QFedAvg", client_learning_rate=0.1, train_loss_key="mine").train_loss_key == "mine"


def test_a_strategy_that_adds_up_trees_is_refused():
    with pytest.raises(UserError, match="adds up trees of XGBoost, and clients here train named arrays"):
        strategy(f"{FLOWERS}FedXgbBagging")


def test_without_codecs_there_is_nothing_to_encode_with():
    assert load_coding(Experiment(rounds=1)) is None
    assert load_coding(Experiment(rounds=1, codec=CodecTable(error_feedback=True))) is None


def test_what_is_lost_is_fed_back_unless_that_is_turned_off_or_nothing_is():
    def memory(**table):
        return load_coding(Experiment(rounds=1, codec=CodecTable(**table))).terms.memory

    assert memory(up="int8") == ("skip-zero-rows", "int8")
    assert memory(up=["int8"], memory="fp16") == ("fp16",)
    assert memory(up=["int8"], error_feedback=False) is None
    assert memory(up=["skip-zero-rows"]) is None
    assert memory(down=["int8"]) is None


def test_a_codec_that_cannot_be_is_refused_before_anything_is_sent():
    for table, place in (({"up": ["int9"]}, "int9"), ({"down": ["top-k"]}, "codec.down"), ({"memory": ["x"]}, "'x'")):
        with pytest.raises(UserError, match=place):
            load_coding(Experiment(rounds=1, codec=CodecTable(**{"up": ["int8"]} | table)))


def test_clients_are_told_which_codecs_their_experiment_names():
    table = CodecTable(up=["top-k:0.1", {"name": "mine.py:Signs"}], down="int8", memory=[])
    assert codec_names(Experiment(rounds=1, codec=table)) == ["top-k", "mine.py:Signs", "int8"]


@pytest.mark.parametrize("codecs", [[{"share": 0.1}], {"share": 0.1}, 3, [3], [["int8"]], None])
def test_a_codec_needs_a_name(codecs):
    with pytest.raises(ValidationError, match="expected a list of codecs, each a name or a table with a name"):
        CodecTable(up=codecs)
