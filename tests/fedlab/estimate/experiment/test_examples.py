"""Examples are counted as a run would split them, without tokenising any."""

import pytest

from fedlab.config.file import experiment_from
from fedlab.errors import UserError
from fedlab.estimate.experiment.examples import assume_batches, count_examples


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    path = tmp_path_factory.mktemp("texts") / "texts.csv"
    path.write_text("text,label\n" + "\n".join(f"text {n},{'abc'[n % 3]}" for n in range(100)) + "\n")
    return path


def experiment(texts, **partition):
    task = {"data": str(texts), "partition": {"clients": 7} | partition}
    return experiment_from({"rounds": 1, "task": task}, "test")


def test_clients_have_what_is_left_after_holding_out(texts):
    held = count_examples(experiment(texts))
    assert held.num_examples == (10,) * 7  # 100 less 10 for validation and 20 for the test
    assert held.labels == 3
    assert held.splits == {"train": 100}


@pytest.mark.parametrize("scheme", [{"scheme": "dirichlet", "alpha": 1.0}, {"scheme": "quantity"}])
def test_skew_leaves_no_example_and_no_client_out(texts, scheme):
    held = count_examples(experiment(texts, **scheme))
    assert sum(held.num_examples) == 70
    assert len(set(held.num_examples)) > 1
    assert min(held.num_examples) > 0


def test_clients_have_what_they_would_have_in_a_run(experiment_of, prepared):
    workbench = prepared("fp32")
    held = count_examples(experiment_of(rounds=1))
    assert held.num_examples == tuple(len(partition) for partition in workbench.partitions)
    assert held.labels == len(workbench.label_names)


def test_data_of_a_hub_are_not_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDLAB_DATA", str(tmp_path))  # no copy is at hand
    with pytest.raises(UserError, match=r"SetFit/20_newsgroups.* --batches N"):
        count_examples(experiment_from({"rounds": 1, "task": {"data": "SetFit/20_newsgroups"}}, "test"))


def test_missing_data_are_refused(tmp_path):
    with pytest.raises(UserError, match="missing data file"):
        count_examples(experiment(tmp_path / "none.csv"))


def test_batches_that_are_assumed_are_full_and_the_same_for_all(texts):
    held = assume_batches(experiment(texts), 29, 4, 20)
    assert held.num_examples == (116,) * 7
    assert held.labels == 20
    named = experiment_from({"rounds": 1, "task": {"labels": ["a", "b"]}}, "test")
    assert assume_batches(named, 29, 4, 20).labels == 2
