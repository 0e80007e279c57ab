"""What a client can claim to have trained on: its partition in a simulation, its first answer on real nodes."""

from fedlab.server.checkpoint import load_tree, save_tree
from fedlab.server.context import Resumable
from fedlab.server.example_limits import FirstAnswers, PartitionSizes

PARTITIONS = {70: 0, 71: 1}
SIZES = {0: 14, 1: None}.get


def test_a_simulated_client_has_the_examples_of_its_partition_whatever_it_said_before():
    limits = PartitionSizes(SIZES, PARTITIONS)
    limits.accepted(70, "train", 5)
    assert (limits.limit(70, "train"), limits.limit(71, "train")) == (14, None)


def test_a_real_node_has_what_it_said_first_and_before_that_what_its_partition_can_have():
    limits = FirstAnswers(SIZES, PARTITIONS)
    assert (limits.limit(70, "train"), limits.limit(71, "train")) == (14, None)
    for count in (5, 9):
        limits.accepted(70, "train", count)
        limits.accepted(71, "train", count)
    assert (limits.limit(70, "train"), limits.limit(71, "train")) == (5, 5)
    assert (limits.limit(70, "evaluate"), limits.limit(71, "evaluate")) == (14, None)


def test_a_node_with_another_partition_answers_for_the_first_time():
    partitions = {70: 0}
    limits = FirstAnswers(SIZES, partitions)
    limits.accepted(70, "train", 5)
    partitions[70] = 1
    assert limits.limit(70, "train") is None


def test_first_answers_survive_a_checkpoint(tmp_path):
    before, after = FirstAnswers(SIZES, PARTITIONS), FirstAnswers(SIZES, PARTITIONS)
    before.accepted(71, "train", 5.0)
    assert isinstance(before, Resumable)
    save_tree(tmp_path / "checkpoint", {"limits": before.state()})
    after.restore(load_tree(tmp_path / "checkpoint")["limits"])
    assert (after.limit(71, "train"), after.limit(70, "train")) == (5, 14)
