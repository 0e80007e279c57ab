"""A language task from its file to its scores, on a Llama of two blocks with random weights."""

import math

import numpy as np
import pytest
import torch

from clients.partition import examples_for
from fedlab.config.schema import Experiment
from fedlab.data.label_words import word_scores
from fedlab.data.metrics import others_of
from fedlab.errors import UserError
from fedlab.models.peft.lora import Lora
from fedlab.server.bench import initial_set
from fedlab.training.bundle import prepare_workbench, pretrained_of
from fedlab.training.evaluate import measure, predict
from fedlab.training.local import LocalTraining
from fedlab.training.sgd_stacked import Trainee, train_together
from fedlab.training.write import samples

TRAINED = Lora(depth=2, rank=4, alpha=8, targets="q,v,down")
AT = TRAINED.split_point(2)
COLOURS = {"sky": "blue", "grass": "green", "blood": "red", "sea": "blue", "leaf": "green", "rose": "red"}
SHADES = {"sky": "light blue", "sea": "dark blue", "leaf": "light green", "rose": "red"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with 60 questions and answers; prepared data are kept beside it."""
    path = tmp_path_factory.mktemp("language")
    rows = [f"the {thing} number {number},{colour}" for number in range(10) for thing, colour in COLOURS.items()]
    (path / "asked.csv").write_text("\n".join(["prompt,response", *rows]) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDLAB_CACHE", str(path / "cache"))
        yield path


@pytest.fixture
def experiment(folder):
    def make(backbone="llama-tiny", **task):
        usual = {"data": str(folder / "asked.csv"), "max_length": 24, "partition": {"clients": 3}}
        table = {"kind": "prompt", "template": "colour of {prompt} : "} | usual | task
        return Experiment.model_validate(
            {"rounds": 1, "task": table, "backbone": {"name": backbone}, "client": {"trains": "lora", "depth": 2}}
        )

    return make


def _arrays(workbench, seed=0):
    sizes = workbench.network.sizes(len(workbench.label_names))
    return TRAINED.initial(sizes, np.random.default_rng(seed), lambda names: {})


def _trained(workbench, arrays, **settings):
    usual = {"optimizer": "adamw", "learning_rate": 0.02, "batch_size": 4, "epochs": 6}
    trainees = [
        Trainee(examples=examples_for(workbench, client, TRAINED), generator=np.random.default_rng(client))
        for client in range(2)
    ]
    return train_together(workbench.network, trainees, arrays, LocalTraining(**usual | settings))


def test_a_language_task_trains_no_head(experiment):
    workbench = prepare_workbench(experiment())
    assert all(".lora." in name for name in _arrays(workbench))


def test_perplexity_is_that_of_transformers_on_the_responses_alone(experiment):
    asked = experiment()
    workbench = prepare_workbench(asked)
    score = measure(workbench, _arrays(workbench), "test", AT)
    tokens = workbench.tokens("test")
    logits = pretrained_of(asked).model(torch.from_numpy(tokens.input_ids.astype(np.int64))).logits
    losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.from_numpy(tokens.labels.copy()).flatten())
    assert others_of(score)["perplexity"] == pytest.approx(math.exp(float(losses.detach())), rel=1e-4)


def test_the_likelihood_of_a_label_word_is_that_of_transformers_on_its_text_alone(experiment, folder):
    rows = [f"the {thing} number {number},{shade}" for number in range(10) for thing, shade in SHADES.items()]
    (folder / "shades.csv").write_text("\n".join(["prompt,response", *rows]) + "\n")
    asked = experiment(data=str(folder / "shades.csv"), labels=sorted(SHADES.values()))
    workbench = prepare_workbench(asked)
    words, tokens, model = workbench.task.language.words, workbench.tokens("test"), pretrained_of(asked).model
    assert len(words.paths) == 2
    assert {len(word) for word in words.words} == {1, 2}

    predicted = predict(workbench, _arrays(workbench), "test", 0, len(tokens), AT)

    for text, scores in enumerate(word_scores(predicted, words)):
        row = text * len(words.paths)
        prompt = tokens.input_ids[row][: tokens.lengths[row] - len(words.paths[0])].tolist()
        for word, score in zip(words.words, scores, strict=True):
            with torch.inference_mode():
                likely = model(torch.tensor([[*prompt, *word]])).logits[0].log_softmax(-1)
            alone = sum(float(likely[len(prompt) - 1 + step, token]) for step, token in enumerate(word))
            assert score == pytest.approx(alone, abs=1e-4)


def test_clients_trained_together_learn_what_each_would_alone(experiment):
    workbench = prepare_workbench(experiment())
    arrays = _arrays(workbench)
    together = _trained(workbench, arrays, epochs=1)
    alone = train_together(
        workbench.network,
        [Trainee(examples=examples_for(workbench, 1, TRAINED), generator=np.random.default_rng(1))],
        arrays,
        LocalTraining(optimizer="adamw", learning_rate=0.02, batch_size=4, epochs=1),
    )
    for name, array in together[1].arrays.items():
        np.testing.assert_allclose(array, alone[0].arrays[name], atol=1e-4)


def test_training_lowers_perplexity_and_raises_the_accuracy_of_label_words(experiment):
    workbench = prepare_workbench(experiment(labels=["blue", "green", "red"]))
    arrays = _arrays(workbench)
    before = measure(workbench, arrays, "validation", AT)
    after = measure(workbench, _trained(workbench, arrays)[0].arrays, "validation", AT)
    assert after > max(before, 0.5)
    assert others_of(after)["perplexity"] < others_of(before)["perplexity"]


def test_texts_that_the_model_writes_are_scored(experiment):
    workbench = prepare_workbench(experiment(measure="f1", new_tokens=2, generate=5))
    arrays = _trained(workbench, _arrays(workbench))[0].arrays
    score = measure(workbench, arrays, "validation", AT)
    assert 0 <= score <= 1
    assert others_of(score).keys() == {"exact-match", "rouge-l", "token-accuracy", "perplexity", "likelihood"}
    written = samples(workbench, arrays, AT)
    assert len(written) == 5
    assert all(each["response"] in COLOURS.values() and "number" in each["prompt"] for each in written)


def test_label_words_have_samples_too(experiment):
    workbench = prepare_workbench(experiment(labels=["blue", "green", "red"], new_tokens=2))
    assert {each["response"] for each in samples(workbench, _arrays(workbench), AT)} <= {"blue", "green", "red"}


@pytest.mark.parametrize(
    ("backbone", "task", "said"),
    [
        ("bert-tiny", {}, "task.kind = 'prompt': this bert has no head over its vocabulary"),
        ("llama-tiny", {"max_length": 4096}, "task.max_length = 4096: the encoder has 2048 positions"),
        ("llama-tiny", {"measure": "f1", "max_length": 2048}, "2048 tokens, the context of this model"),
        ("llama-tiny", {"template": "chat"}, "the model's tokenizer has no chat template: set task.template"),
    ],
)
def test_what_a_backbone_cannot_say_is_one_line(experiment, backbone, task, said):
    with pytest.raises(UserError) as raised:
        prepare_workbench(experiment(backbone, **task))
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_run_in_which_nothing_would_be_trained_is_refused(experiment):
    asked = experiment()
    nothing = asked.model_copy(update={"client": asked.client.model_copy(update={"depth": 0})})
    with pytest.raises(UserError, match="nothing is trained, as kind prompt has no head of its own"):
        initial_set(nothing, prepare_workbench(asked).network.encoder.shape)
