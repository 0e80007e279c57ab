import json

import numpy as np
import pytest

from fedlab.config.schema import Partition, TaskTable
from fedlab.data.language import language_from
from fedlab.data.load import load_task, texts_for_vocabulary
from fedlab.data.own_data import load_own
from fedlab.data.task import read_task
from fedlab.errors import UserError

UNK, BOS, EOS, PAD, Q, A, RED, GREEN, FAR, SEA, YES, NO = range(12)  # of `word_tokenizer`
IGNORED = -100
ROWS = [
    {"text": "red sea", "prompt": "red", "response": "yes" if number % 2 else "no", "kind": f"k{number % 2}"}
    for number in range(20)
]


@pytest.fixture
def load(word_tokenizer, tmp_path):
    (tmp_path / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))

    def call(load=load_task, **table):
        settings = {"data": "all.jsonl", "partition": Partition(clients=4), "max_length": 8, **table}
        cache = tmp_path / "cache"
        return load(
            TaskTable(**settings), tokenizer=word_tokenizer, seed=0, cache_folder=cache, resolve=tmp_path.joinpath
        )

    return call


def test_packed_blocks_hold_the_texts_of_one_client_each(load):
    task = load(kind="next-token", max_length=16, partition=Partition(clients=4))
    assert task.report.clients.examples == [4, 4, 3, 3]  # texts of 4 tokens: 16 and 12 of a client
    assert task.train.lengths.tolist() == [16, 16, 12, 12]
    assert [part.tolist() for part in task.partitions] == [[0], [1], [2], [3]]
    assert task.train.input_ids[0].tolist() == [BOS, RED, SEA, EOS] * 4
    assert task.report.blocks == 4
    assert task.report.splits["train"].cut == 0


def test_texts_that_are_not_packed_are_examples_of_their_own_and_those_cut_are_counted(load):
    task = load(kind="next-token", pack=False, max_length=4)
    assert (len(task.train), task.report.blocks, task.report.splits["train"].cut) == (14, None, 0)
    assert task.train.labels[0].tolist() == [RED, SEA, EOS, IGNORED]
    assert task.report.splits["train"].counted_tokens == 14 * 3


def test_prompts_are_rows_whose_responses_count(load):
    task = load(kind="prompt", template="Q: {prompt} A: ")
    assert task.train.input_ids[0][:4].tolist() == [BOS, Q, RED, A]
    assert task.train.labels[0][:4].tolist()[:3] == [IGNORED] * 3
    assert set(task.train.labels[:, 3].tolist()) == {YES, NO}
    assert task.label_names == ()
    assert task.language.scored_by == "token-accuracy"
    assert task.report.samples[0] == {"prompt": "<s> Q: red A:", "response": task.report.samples[0]["response"]}


def test_prompts_that_are_cut_are_counted(load):
    task = load(kind="prompt", template="Q: {prompt} A: ", max_length=5)
    assert task.report.splits["train"].cut == 14
    assert task.report.splits["test"].cut == 4
    assert task.train.input_ids[0][:3].tolist() == [BOS, RED, A]


def test_label_words_are_scored_on_held_out_texts_and_trained_as_responses(load):
    task = load(kind="prompt", template="Q: {prompt} A: ", labels=["yes", "no"])
    assert task.language.words.words == ((YES,), (NO,))
    assert task.test.input_ids.tolist() == [[BOS, Q, RED, A]] * 4
    assert sorted(task.language.answers["test"].tolist()) != []
    assert set(task.train.labels[:, 4].tolist()) == {EOS}
    assert task.report.splits["train"].labels.keys() == {"yes", "no"}
    assert task.report.splits["test"].counted_tokens is None


def test_label_words_skew_the_clients_of_a_dirichlet_partition(load):
    task = load(
        kind="prompt",
        template="Q: {prompt} A: ",
        measure="accuracy",
        partition=Partition(scheme="pathological", clients=4, classes_per_client=1),
    )
    assert all(sorted(map(bool, counts)) == [False, True] for counts in task.report.clients.counts)


def test_a_language_task_comes_back_from_its_files(load, tmp_path):
    task = load(kind="prompt", template="Q: {prompt} A: ", labels=["yes", "no"])
    again = load(kind="prompt", template="Q: {prompt} A: ", labels=["yes", "no"])
    (folder,) = (tmp_path / "cache" / "tasks").iterdir()
    read = read_task(folder, tmp_path / "cache" / "tokens")
    assert read.language.words == again.language.words == task.language.words
    assert language_from(json.loads(json.dumps(task.language.plain()))).ends == task.language.ends == (EOS,)
    assert np.array_equal(read.language.answers["test"], task.language.answers["test"])
    assert read.digest == task.digest


def test_a_model_stops_at_the_end_of_a_text_and_at_that_of_a_turn(load, word_tokenizer):
    word_tokenizer.add_special_tokens({"additional_special_tokens": ["<end>"]})
    word_tokenizer.chat_template = word_tokenizer.chat_template.replace("</s>", "<end>")
    assert load(kind="prompt").language.ends == (EOS, word_tokenizer.convert_tokens_to_ids("<end>"))
    assert load(kind="next-token").language.ends == (EOS,)


def test_another_chat_template_makes_another_task(load, word_tokenizer):
    first = load(kind="prompt")
    word_tokenizer.chat_template = "{% for m in messages %}{{ m.content }} {% endfor %}"
    assert load(kind="prompt").digest != first.digest


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"kind": "prompt", "template": "{prompt} ", "labels": ["yes", "no", "perhaps"]}, "'perhaps' is out of the"),
        ({"kind": "prompt", "template": "{prompt} ", "labels": ["yes", "maybe"]}, "label 'no' in split 'train' is not"),
        ({"kind": "prompt", "measure": "accuracy", "response": "prompt"}, "task.response = 'prompt': every training"),
    ],
)
def test_label_words_that_cannot_be_used_are_one_line(load, table, said):
    with pytest.raises(UserError) as raised:
        load(**table)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_node_reads_its_own_language_data(load):
    task = load(load_own, kind="prompt", template="Q: {prompt} A: ", labels=["yes", "no"])
    assert (len(task.train), task.language.words is not None) == (20, True)
    assert len(load(load_own, kind="next-token", max_length=32).train) == 3  # 80 tokens


def test_the_texts_of_prompts_make_a_vocabulary(load, tmp_path):
    table = TaskTable(data="all.jsonl", kind="prompt")
    assert next(texts_for_vocabulary(table, tmp_path.joinpath)) == "red\nno"
