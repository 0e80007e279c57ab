import json
from math import inf, nan

import pytest

from fedlab.errors import DamagedError
from fedlab.results.checked import Summary, check_fields
from fedlab.results.folder import RunFolder
from fedlab.results.records import ClientRecord, GroupRecord, RoundRecord

ROUND = {
    "server_round": 1,
    "trial": None,
    "simulated_seconds": 2.0,
    "configuration": {"set": "bottleneck", "depth": 1},
    "groups": [],
    "validation_accuracy": 0.5,
    "test_accuracy": None,
    "wall_seconds": 3,
}


@pytest.mark.parametrize(
    ("kind", "name", "value", "expected"),
    [
        (RoundRecord, "server_round", "1", "a whole number"),
        (RoundRecord, "simulated_seconds", nan, "a number"),
        (RoundRecord, "simulated_seconds", 10**400, "a number"),
        (RoundRecord, "groups", {}, "a list"),
        (RoundRecord, "configuration", {"depth": 1.5}, "a table, each value of it a whole number or text"),
        (ClientRecord, "dropout", "bored", "one of failed, memory, gone, late, refused"),
        (ClientRecord, "joules", True, "a number"),
        (GroupRecord, "failed", "no", "true or false"),
        (Summary, "trials", None, "a whole number"),
        (Summary, "dropouts", {"late": "two"}, "a table, each value of it a whole number"),
    ],
)
def test_a_value_of_another_type_is_named_with_what_is_expected(kind, name, value, expected):
    with pytest.raises(TypeError, match=rf"^{name} is .*, expected {expected}$"):
        check_fields(kind, {name: value})


def test_the_loss_of_a_client_that_diverged_is_accepted():
    for loss in (nan, inf, None):
        check_fields(ClientRecord, {"train_loss": loss})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"server_round": True}, "server_round is True"),
        ({"groups": [3]}, "line 1: not a record"),
        ({"groups": None}, "line 1: not a record"),
        ({"configuration": "deep"}, "configuration is 'deep', expected a table"),
        ({"extra": 1}, "extra"),
    ],
    ids=str,
)
def test_a_line_that_was_edited_is_named_by_file_and_line(tmp_path, change, said):
    folder = RunFolder(tmp_path)
    folder.rounds_file.write_text(json.dumps(ROUND | change) + "\n")
    with pytest.raises(DamagedError, match=r"rounds\.jsonl, line 1: not a record of this version of fedlab") as caught:
        folder.rounds()
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"rounds": "two"}', "[" * 100_000, '{"rounds": ' + "9" * 5000 + "}"], ids=len
)
def test_a_summary_that_was_edited_is_one_line(tmp_path, text):
    (tmp_path / "summary.json").write_text(text)
    with pytest.raises(DamagedError, match=r"summary\.json: ") as caught:
        RunFolder(tmp_path).summary()
    assert len(str(caught.value)) < 300 + len(str(tmp_path))


def test_a_fresh_run_folder_is_removed_until_a_round_has_ended(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    folder.rounds_file.touch()
    folder.remove_unbegun()
    assert not folder.path.exists()
    folder.path.mkdir()
    folder.rounds_file.write_text("{}\n")
    folder.remove_unbegun()
    assert folder.rounds_file.exists()
