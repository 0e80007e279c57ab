import pytest

from fedlab.config.schema import TaskTable
from fedlab.data.build import hold_out, limited
from fedlab.data.examples import Examples
from fedlab.errors import UserError


def _examples(count, prefix="t"):
    return Examples(texts=[f"{prefix}{i:03}" for i in range(count)], labels=["x"] * count)


def test_splits_that_the_source_lacks_are_shares_of_train():
    splits = hold_out({"train": _examples(100)}, TaskTable(validation=0.1, test=0.2), seed=0)
    assert {split: len(part) for split, part in splits.items()} == {"train": 70, "validation": 10, "test": 20}
    assert sorted(text for part in splits.values() for text in part.texts) == _examples(100).texts


def test_splits_that_the_source_has_are_kept():
    source = {"train": _examples(10), "test": _examples(3, "own")}
    splits = hold_out(source, TaskTable(validation=0.5), seed=0)
    assert splits["test"] == source["test"]
    assert (len(splits["train"]), len(splits["validation"])) == (5, 5)


def test_holding_out_depends_on_the_seed_alone():
    def held(seed):
        return hold_out({"train": _examples(100)}, TaskTable(), seed)["test"].texts

    assert held(0) == held(0)
    assert held(0) != held(1)


def test_at_least_one_example_is_held_out_and_one_is_left():
    splits = hold_out({"train": _examples(3)}, TaskTable(validation=0.01, test=0.01), seed=0)
    assert [len(splits[split]) for split in ("train", "validation", "test")] == [1, 1, 1]
    with pytest.raises(UserError, match="none of 2 training examples is left after holding out"):
        hold_out({"train": _examples(2)}, TaskTable(), seed=0)


def test_a_limit_draws_examples_and_keeps_their_order():
    train = _examples(100)
    drawn = limited(train, 10, seed=0)
    assert len(drawn) == 10
    assert drawn.texts == sorted(drawn.texts)
    assert drawn.texts != train.texts[:10]
    assert limited(train, 100, seed=0) is train
    assert limited(train, None, seed=0) is train
