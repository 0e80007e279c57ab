"""The experiments of the paper are valid, have the published settings, and each has a mini variant that runs here."""

import json
import re
from pathlib import Path

import pytest

from fedlab.config.plugins import load_object
from fedlab.data.location import Place, locate
from fedlab.paper.figures import METHODS, published_figures
from fedlab.paper.names import Reproducible
from fedlab.sweep.file import load_sweep

FOLDER = Path(__file__).parents[1] / "experiments" / "paper"
FILES = sorted(FOLDER.glob("*.toml"))
PUBLISHED = [path for path in FILES if not path.stem.endswith("-mini")]
FIGURES = published_figures()
TASK_OF = {
    "SetFit/20_newsgroups": "20news",
    "fancyzhx/ag_news": "agnews",
    "SemEvalWorkshop/sem_eval_2010_task_8": "semeval",
    "ontonotes.py:ontonotes": "ontonotes",
}


def cells_of(path):
    return load_sweep(path).cells


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_experiment_is_a_valid_sweep(path):
    assert len(cells_of(path)) > 1


@pytest.mark.parametrize("what", Reproducible.__args__)
def test_every_table_and_figure_has_a_file_and_a_mini_variant(what):
    assert {f"{what}.toml", f"{what}-mini.toml"} <= {path.name for path in FILES}


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_every_published_setting_has_a_mini_variant_of_the_same_methods(path):
    mini = cells_of(path.with_name(f"{path.stem}-mini.toml"))
    assert {cell.experiment.client.name for cell in mini} == {each.experiment.client.name for each in cells_of(path)}


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_published_settings_are_those_of_the_figures(path):
    for cell in cells_of(path):
        experiment = cell.experiment
        task = FIGURES.tasks[TASK_OF[experiment.task.data]]
        assert experiment.backbone.name in ("bert-base-uncased", "distilbert-base-uncased")
        assert experiment.task.max_length == task.sequence_length
        assert experiment.task.partition.clients == task.clients
        assert experiment.client.options["max_batches"] == task.batches
        assert experiment.strategy.options["clients_per_round"] == 15
        assert not {"optimizer", "learning_rate"} & set(experiment.client.options), "the paper's are the defaults"


@pytest.mark.parametrize("path", [path for path in PUBLISHED if path.stem.startswith("table5")], ids=lambda p: p.stem)
def test_table_5_has_every_method_with_three_seeds_and_rounds_enough(path):
    rows = {(row.task, row.method): row for row in FIGURES.table5}
    seen = set()
    for cell in cells_of(path):
        experiment = cell.experiment
        seen.add((experiment.label, experiment.seed))
        assert experiment.rounds > max(rows[TASK_OF[experiment.task.data], experiment.label].rounds)
        quantised = experiment.label in ("FTQ", "LFQ")
        assert bool(experiment.codec.up) == bool(experiment.codec.down) == quantised
    assert seen == {(method, seed) for method in METHODS for seed in (0, 1, 2)}


@pytest.mark.parametrize("path", [path for path in FILES if path.stem.endswith("-mini")], ids=lambda path: path.stem)
def test_a_mini_variant_needs_no_hub(path):
    for cell in cells_of(path):
        task, backbone = cell.experiment.task, cell.experiment.backbone
        assert backbone.name.startswith("package:") or backbone.is_convolutional
        place = locate(task, cell.experiment.path)
        if place is Place.HUB:
            pytest.skip(f"{task.data} is not at hand: it is no part of the project")
        assert isinstance(place, Path)


def test_figures_sweep_the_published_bandwidths_and_boards():
    bandwidths = [cell.experiment.link.options["bandwidth"] for cell in cells_of(FOLDER / "figure6.toml")]
    assert list(dict.fromkeys(bandwidths)) == list(FIGURES.figure6.bandwidths)
    fleets = {tuple(cell.experiment.fleet.devices) for cell in cells_of(FOLDER / "figure7.toml")}
    boards = tuple(FIGURES.figure7[0].hours)
    assert fleets == {*((board,) for board in boards), boards}


def test_the_readme_names_every_file():
    linked = re.findall(r"\]\((?!http)([\w.-]+)\)", (FOLDER / "README.md").read_text())
    assert set(linked) == {path.name for path in FOLDER.iterdir() if path.suffix in (".toml", ".py")}


def test_ontonotes_has_its_tags_by_name(tmp_path):
    for name in ("train00", "train01", "train02", "train03", "valid", "test"):
        row = {"tokens": ["Phil", "Rosen", "spoke"], "tags": [4, 5, 0]}
        (tmp_path / f"{name}.json").write_text(json.dumps(row) + "\n")
    dataset = load_object("ontonotes.py:ontonotes", FOLDER)(folder=str(tmp_path))
    names = dataset["train"].features["tags"].feature.names
    assert len(names) == FIGURES.tasks["ontonotes"].labels == len(set(names))
    assert [names[tag] for tag in dataset["train"][0]["tags"]] == ["B-PERSON", "I-PERSON", "O"]
    assert {split: len(dataset[split]) for split in dataset} == {"train": 4, "validation": 1, "test": 1}
