"""What a strategy remembers is kept, or the run refuses to start and names what could not be."""

import logging
import threading
from collections import Counter, deque
from types import SimpleNamespace

import numpy as np
import pytest
from flwr.app import ArrayRecord
from flwr.serverapp.strategy import DifferentialPrivacyServerSideAdaptiveClipping, FedAvg

from fedlab.config.file import experiment_from
from fedlab.errors import UserError
from fedlab.server.assemble import assemble
from fedlab.server.checkpoint import load_tree, save_tree
from fedlab.server.strategy_memory import check_memory, memory_of
from strategies.fedavg import FedAvg as OurFedAvg


def resumed(strategy, fresh, folder):
    """Return a fresh strategy with the memory of another, through the files of a checkpoint."""
    save_tree(folder / "checkpoint", {"strategy": memory_of(strategy).state()})
    memory_of(fresh).restore(load_tree(folder / "checkpoint")["strategy"])
    return fresh


class Remembers(FedAvg):
    """Remembers in all the ways there are."""

    shared = {}  # noqa: RUF012  (as users write it)

    def __init__(self, **options):
        super().__init__(**options)
        self.replies = {}
        self.seen = set()
        self.last = deque(maxlen=2)
        self.counts = Counter()
        self.arrays = None
        self.draws = np.random.default_rng(0)
        self.log = logging.getLogger("mine")
        self.score = lambda loss: -loss

    def live(self):
        self.replies[2**40] = 108
        self.seen |= {3, 4}
        self.last.extend([1, 2, 3])
        self.counts[7] += 2
        self.arrays = ArrayRecord([np.ones(2)])
        self.draws.normal()
        self.shared = self.shared | {5: "five"}


def test_a_strategys_attributes_are_kept_by_node_id_in_sets_and_in_deques(tmp_path):
    strategy = Remembers(fraction_train=0.5)
    strategy.live()

    found = resumed(strategy, Remembers(), tmp_path)

    assert found.fraction_train == 0.5
    assert found.replies == {2**40: 108}
    assert found.seen == {3, 4}
    assert (found.last, found.last.maxlen) == (deque([2, 3]), 2)
    assert found.counts == Counter({7: 2})
    assert found.arrays.to_numpy_ndarrays()[0].tolist() == [1, 1]
    assert found.draws.normal() == strategy.draws.normal()
    assert found.shared == {5: "five"}
    assert found.score(1) == -1


def test_what_a_class_shares_and_changes_is_kept(tmp_path, monkeypatch):
    strategy = Remembers()
    monkeypatch.setitem(Remembers.shared, 9, "nine")
    save_tree(tmp_path / "checkpoint", {"strategy": memory_of(strategy).state()})
    monkeypatch.undo()
    fresh = Remembers()
    memory_of(fresh).restore(load_tree(tmp_path / "checkpoint")["strategy"])
    assert fresh.shared == {9: "nine"}


def private(inner, **options):
    return DifferentialPrivacyServerSideAdaptiveClipping(inner, noise_multiplier=0.1, num_sampled_clients=4, **options)


def test_strategies_within_others_are_kept_however_deep(tmp_path):
    inner = Remembers()
    inner.live()
    strategy = private(private(inner))
    strategy.clipping_norm, strategy.strategy.clipping_norm = 0.7, 0.9

    found = resumed(strategy, private(private(Remembers())), tmp_path)

    assert (found.clipping_norm, found.strategy.clipping_norm) == (0.7, 0.9)
    assert found.strategy.strategy.replies == {2**40: 108}


class Counting(OurFedAvg):
    """One of ours, which says what to keep, with a memory of its own beside that."""

    def __init__(self, *, clients_per_round=2):
        super().__init__(clients_per_round=clients_per_round)
        self.counts = {}


def test_a_subclass_of_a_strategy_that_says_what_to_keep_keeps_its_own_attributes_too(tmp_path):
    strategy = Counting()
    strategy.counts[3] = 4
    assert memory_of(strategy).state()["attributes"] == {"counts": {3: 4}}
    assert resumed(strategy, Counting(), tmp_path).counts == {3: 4}


def test_a_strategy_that_says_itself_what_to_keep_is_taken_at_its_word():
    strategy = OurFedAvg(clients_per_round=2)
    assert memory_of(strategy) is strategy


def test_an_attribute_that_cannot_be_kept_is_named_and_the_remedy_too():
    strategy = FedAvg()
    strategy.helpers = {3: SimpleNamespace()}
    with pytest.raises(UserError) as caught:
        check_memory(private(strategy))
    said = str(caught.value)
    assert said.startswith("the strategy FedAvg cannot be resumed: its attribute helpers/3 is a types.SimpleNamespace")
    assert "accepted: numbers, text" in said
    assert "state() and restore()" in said


class Unkept(FedAvg):
    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()


def test_an_experiment_whose_strategy_could_not_be_resumed_is_refused_before_it_starts():
    strategy = {"name": f"{__name__}:Unkept"}
    with pytest.raises(
        UserError, match=r"the strategy Unkept cannot be resumed: its attribute lock is a _thread\.lock"
    ):
        assemble(experiment_from({"rounds": 1, "strategy": strategy}, "test"))
