"""Tables by name: which are recomputed, which train a mini variant, and what their sources disagree on."""

from typing import get_args

import pytest

from fedlab.errors import UserError
from fedlab.paper import reproduction
from fedlab.paper.names import FwdllmTable
from fedlab.paper.reproduction import disagreements_of, mini_of, sections_of

DATA_SETS = """
rounds = 1
[task]
data = "texts.csv"
partition = { clients = 4 }
[sweep]
[[sweep.variants]]
name = "20NEWS"
set = { "client.depth" = 1 }
[[sweep.variants]]
name = "W-NUT 17"
set = { "task.partition.clients" = 2 }
"""


def test_data_sets_at_hand_are_counted_beside_the_studys(tmp_path, monkeypatch):
    paper = tmp_path / "paper"
    paper.mkdir()
    (paper / "table4-mini.toml").write_text(DATA_SETS)
    (paper / "texts.csv").write_text("text,label\n" + "\n".join(f"text {n},{n % 5}" for n in range(60)) + "\n")
    monkeypatch.setattr(reproduction, "experiments_folder", lambda: tmp_path)
    (section,) = sections_of("table4")
    assert section.rows == ["20NEWS", "W-NUT 17 for ONTONOTES"]
    assert [(cell.column, cell.ours, cell.paper) for cell in section.cells[:3]] == [
        ("clients", 4, 100),
        ("labels", 5, 20),
        ("samples", 60, 18_800),
    ]
    assert section.at("W-NUT 17 for ONTONOTES", "clients").paper == 600


@pytest.mark.parametrize("name", ["fwdllm-time", "fwdllm-memory"])
def test_the_figures_of_fwdllm_are_tables_with_quirks_of_their_own(name):
    assert sections_of(name)
    found = disagreements_of(name)
    assert found
    assert all(name in each.tables for each in found)


TRAINED_OF_FWDLLM = ("fwdllm-time", "fwdllm-pacing", "fwdllm-scaling")


@pytest.mark.parametrize(
    "name",
    ["table1", "table3", "table4", "mandheling-table6", *sorted({*get_args(FwdllmTable)} - {*TRAINED_OF_FWDLLM})],
)
def test_some_tables_take_no_training(name):
    assert mini_of(name, "20news") is None


@pytest.mark.parametrize("name", ["table2", "table5", "figure6", "figure7", *TRAINED_OF_FWDLLM, "mandheling-table8"])
def test_the_others_have_a_mini_variant_that_is_there(name):
    assert mini_of(name, "20news").name == f"{name}-mini.toml"


def test_only_table_5_is_on_other_tasks():
    assert mini_of("table5", "agnews").name == "table5-agnews-mini.toml"
    with pytest.raises(UserError, match=r"only table5 is trained on .*; figure7 is not"):
        mini_of("figure7", "agnews")


def test_disagreements_are_those_of_the_table():
    found = disagreements_of("table3")
    assert {each.id for each in found} == {"distilbert-latency", "board-factors"}
