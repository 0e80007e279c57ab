from pathlib import Path

import datasets
import pytest
from huggingface_hub import constants

from fedlab.config.hub_names import DATA_VARIABLE
from fedlab.config.schema import TaskTable
from fedlab.data.sources import dataset as sources
from fedlab.data.sources.dataset import load_dataset_dict
from fedlab.errors import UserError

DATA = Path(__file__).parents[4].parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"real data sets are not at {DATA}")


def _sizes(splits):
    return {split: len(splits[split]) for split in splits}


@needs_data
def test_twenty_newsgroups_are_gzipped_json_lines():
    splits = load_dataset_dict(TaskTable(data="20news"), resolve=DATA.joinpath)
    assert _sizes(splits) == {"train": 11314, "test": 7532}
    assert splits["train"].column_names == ["text", "label", "label_text"]
    assert len(splits["train"].unique("label_text")) == 20


@needs_data
def test_ag_news_is_csv_without_a_header():
    names = ["class", "title", "description"]
    splits = load_dataset_dict(TaskTable(data="agnews", column_names=names), resolve=DATA.joinpath)
    assert _sizes(splits) == {"train": 7600}
    assert splits["train"][0]["title"] == "Fears for T N pension after talks"
    assert sorted(splits["train"].unique("class")) == ["1", "2", "3", "4"]


@needs_data
def test_semeval_2010_is_in_its_own_format():
    table = TaskTable(data="semeval2010_task8", format="semeval2010-task8")
    splits = load_dataset_dict(table, resolve=DATA.joinpath)
    assert _sizes(splits) == {"train": 8000, "test": 2717}
    assert len(splits["train"].unique("label")) == 19
    assert all("<e1>" in text and "</e2>" in text for text in splits["test"]["text"])


@needs_data
def test_wnut_17_is_conll():
    splits = load_dataset_dict(TaskTable(data="wnut17"), resolve=DATA.joinpath)
    assert _sizes(splits) == {"train": 3394, "validation": 1009, "test": 1287}
    assert len({tag for tags in splits["train"]["tags"] for tag in tags}) == 13
    assert sum(len(tokens) for tokens in splits["validation"]["tokens"]) == 15733


def test_a_users_function_is_called_with_the_options(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from datasets import Dataset\n\n"
        "def load(n):\n    return Dataset.from_dict({'text': ['a'] * n, 'label': ['x'] * n})\n"
    )
    splits = load_dataset_dict(TaskTable(data="mine.py:load", options={"n": 3}), resolve=tmp_path.joinpath)
    assert _sizes(splits) == {"train": 3}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return [1]", r"'f.py:load': expected a datasets.Dataset or DatasetDict, got list"),
        ("return d.DatasetDict(other=d.Dataset.from_dict({'a': [1]}))", r"no split 'train' among other"),
        ("raise ValueError('bad value')", r"task.options: bad value"),
        ("raise KeyError('k')", r"task.options: load raised KeyError: 'k' \(f\.py, line 4\)"),
        ("raise SystemExit(0)", r"task.options: load raised SystemExit: 0 \(f\.py, line 4\)"),
    ],
)
def test_what_a_users_function_does_wrong_is_reported(tmp_path, body, message):
    (tmp_path / "f.py").write_text(f"import datasets as d\n\ndef load():\n    {body}\n")
    with pytest.raises(UserError, match=message):
        load_dataset_dict(TaskTable(data="f.py:load"), resolve=tmp_path.joinpath)


def test_hub_splits_come_under_their_names_here(tmp_path, monkeypatch):
    part = datasets.Dataset.from_dict({"text": ["a"]})
    asked = []

    def hub(path, **options):
        asked.append((path, options))
        return datasets.DatasetDict(test=part, train=part, validation_matched=part, unsupervised=part)

    monkeypatch.setattr(sources.datasets, "load_dataset", hub)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    splits = load_dataset_dict(TaskTable(data="owner/name", options={"name": "mnli"}), resolve=tmp_path.joinpath)
    assert set(splits) == {"train", "validation", "test"}
    assert asked == [("owner/name", {"name": "mnli"})]


@pytest.mark.parametrize(
    ("task", "columns", "expected"),
    [
        ({"data": "stanfordnlp/sst2"}, {"sentence": ["a"], "label": [1]}, {"text": ["a"]}),
        ({"data": "stanfordnlp/sst2", "text": "sentence"}, {"text": ["a"], "label": [1]}, {"sentence": ["a"]}),
        ({"data": "stanfordnlp/sst2", "text": "sentence"}, {"sentence": ["a"], "label": [1]}, {"sentence": ["a"]}),
        (
            {"data": "rajpurkar/squad", "kind": "prompt", "prompt": "{question}", "response": "answer"},
            {"question": ["q", "r"], "answers": [{"text": ["x", "y"]}, {"text": []}]},
            {"answer": ["x", None]},
        ),
        ({"data": "owner/other"}, {"sentence": ["a"], "label": [1]}, {"sentence": ["a"]}),
    ],
)
def test_the_columns_of_a_known_data_set_are_named_as_the_task_names_them(
    task, columns, expected, tmp_path, monkeypatch
):
    loaded = datasets.DatasetDict(train=datasets.Dataset.from_dict(columns))
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    monkeypatch.setattr(sources.datasets, "load_dataset", lambda *_, **__: loaded)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    train = load_dataset_dict(TaskTable(**task), resolve=tmp_path.joinpath)["train"]

    assert {name: list(train[name]) for name in expected} == expected


def test_a_copy_of_a_known_data_set_is_read_in_the_format_that_its_files_have(tmp_path, monkeypatch):
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    folder = tmp_path / "semeval2010_task8"
    folder.mkdir()
    line = '1\t"The <e1>cause</e1> of the <e2>effect</e2>."\nCause-Effect(e1,e2)\nComment:\n\n'
    (folder / "TRAIN_FILE.TXT").write_text(line)
    (folder / "TEST_FILE_FULL.TXT").write_text(line)
    table = TaskTable(data="SemEvalWorkshop/sem_eval_2010_task_8", text="sentence", label="relation")

    splits = load_dataset_dict(table, resolve=tmp_path.joinpath)

    assert _sizes(splits) == {"train": 1, "test": 1}
    assert list(splits["train"]["relation"]) == ["Cause-Effect(e1,e2)"]


def test_a_hub_id_offline_is_one_line_that_names_it(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="hub data set 'no-owner/no-name': ") as caught:
        load_dataset_dict(TaskTable(data="no-owner/no-name"), resolve=tmp_path.joinpath)
    assert "\n" not in str(caught.value)


def test_a_hub_out_of_reach_is_reported_before_anything_is_retried(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(sources.datasets, "load_dataset", lambda *_, **__: pytest.fail("asked the hub"))
    with pytest.raises(UserError, match=r"hub data set 'owner/name': .* http://127\.0\.0\.1:9 cannot be reached"):
        load_dataset_dict(TaskTable(data="owner/name"), resolve=tmp_path.joinpath)


def test_a_missing_file_is_not_taken_for_a_hub_id(tmp_path):
    with pytest.raises(UserError, match="missing data file"):
        load_dataset_dict(TaskTable(data="nothing.csv"), resolve=tmp_path.joinpath)
