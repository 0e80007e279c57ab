"""A copy of a hub's data set or model that is at hand is found by its name."""

import pytest

from fedlab.config.hub_names import DATA_VARIABLE, DATASETS, MODELS_VARIABLE, copy_at_hand, hub_failure
from fedlab.errors import UserError


@pytest.mark.parametrize("folder", ["SetFit/20_newsgroups", "20_newsgroups", "20news"])
def test_a_folder_below_the_variable_is_a_copy_by_the_whole_name_its_last_part_or_a_known_name(
    folder, tmp_path, monkeypatch
):
    (tmp_path / folder).mkdir(parents=True)
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))

    assert copy_at_hand("SetFit/20_newsgroups", DATA_VARIABLE, tmp_path / "elsewhere") == tmp_path / folder


def test_a_path_below_the_variable_is_found_as_it_is(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "train.csv").touch()
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))

    assert copy_at_hand("mine/train.csv", DATA_VARIABLE, tmp_path) == tmp_path / "mine" / "train.csv"


@pytest.mark.parametrize("name", ["../secret", "/secret", "~/secret", "a/../../secret"])
def test_nothing_outside_the_folder_of_copies_is_a_copy(name, tmp_path, monkeypatch):
    (tmp_path / "secret").mkdir()
    (tmp_path / "data").mkdir()
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "data"))

    assert copy_at_hand(name, DATA_VARIABLE, tmp_path) is None


def test_without_the_variable_the_usual_folders_beside_the_checkout_are_searched(tmp_path, monkeypatch):
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    monkeypatch.delenv(MODELS_VARIABLE, raising=False)
    base = tmp_path / "project" / "experiments"
    for folder in (base, tmp_path / "shared/data/sst2", tmp_path / "models/smollm2-135m"):
        folder.mkdir(parents=True)

    assert copy_at_hand("stanfordnlp/sst2", DATA_VARIABLE, base) is None, "no checkout"
    (tmp_path / "project" / ".git").mkdir()
    assert copy_at_hand("stanfordnlp/sst2", DATA_VARIABLE, base) == tmp_path / "shared/data/sst2"
    model = copy_at_hand("HuggingFaceTB/SmolLM2-135M-Instruct", MODELS_VARIABLE, base)
    assert model == tmp_path / "models/smollm2-135m"
    assert copy_at_hand("rajpurkar/squad", DATA_VARIABLE, base) is None


def test_a_variable_that_names_no_folder_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "absent"))

    with pytest.raises(UserError, match=r"FEDLAB_DATA = '.*absent': no such folder"):
        copy_at_hand("stanfordnlp/sst2", DATA_VARIABLE, tmp_path)


def test_every_known_data_set_is_named_by_owner_and_name_and_says_what_it_is():
    for name, known in DATASETS.items():
        assert name.count("/") == 1
        assert known.about


def test_a_hub_without_a_server_fails_with_the_error_of_the_connection(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")  # the port of "discard"

    assert type(hub_failure()).__name__ == "ConnectionError"
