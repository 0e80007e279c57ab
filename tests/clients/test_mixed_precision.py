"""The client that trains a network for images in an algorithm's formats: float32 in and out, billed in its format."""

import numpy as np
import pytest
import torch
from flwr.app import Message

from clients.mixed_precision import mixed_precision
from clients.partition import augmentation, batch_draws, examples_for
from fedlab.errors import UserError
from fedlab.messages.flower_private import with_id
from fedlab.messages.orders import order_content
from fedlab.messages.pack import from_record, to_record
from fedlab.messages.replies import read_train_loss, read_workload
from fedlab.models.mixed_precision.algorithm import builtin_algorithms
from fedlab.models.peft.whole_blocks import Everything
from fedlab.training.evaluate import measure
from fedlab.training.local import LocalTraining, batch_rows

PARTITION = 3
EMULATED = [name for name in builtin_algorithms() if not name.startswith("niti")]


@pytest.fixture
def ask(server_identity, image_bench, hosted):
    """Return a function that lets a client of a partition train a model, and returns its reply."""

    def send(arrays, *, server_round=1, partition=PARTITION, **options):
        content = order_content(to_record(arrays), server_round=server_round, configuration={"set": "everything"})
        client = mixed_precision(**{"algorithm": "mls", "batch_size": 8} | options)
        return client(with_id(Message(content, 7, "train"), "1"), hosted(image_bench, partition))

    return send


@pytest.fixture
def floats(image_bench):
    return image_bench.network.encoder.sizes.initial(np.random.default_rng(1))


def arrays_of(reply):
    return from_record(reply.content["arrays"])


@pytest.mark.parametrize("algorithm", EMULATED)
def test_a_reply_has_the_arrays_of_the_order_trained(ask, floats, algorithm):
    reply = ask(floats, algorithm=algorithm, max_batches=2)
    found = arrays_of(reply)
    assert {name: (array.shape, array.dtype) for name, array in found.items()} == {
        name: (array.shape, np.float32) for name, array in floats.items()
    }
    assert all(np.abs(found[name] - array).max() > 0 for name, array in floats.items())
    assert 0 < read_train_loss(reply) < 20


def test_without_formats_it_is_plain_sgd(ask, floats, image_bench, tmp_path):
    (tmp_path / "plain.toml").write_text("[update]\nlearning_rate = 0.05\n")
    (tmp_path / "narrow.toml").write_text(
        "[update]\nlearning_rate = 0.05\n"
        + "".join(f"[{w}]\nkind = 'integer'\nbits = 4\n" for w in ("weights", "errors"))
    )
    plain, narrow = (
        arrays_of(ask(floats, algorithm=name, base_folder=str(tmp_path))) for name in ("plain.toml", "narrow.toml")
    )
    expected = sgd(image_bench, floats, rate=0.05)
    for name, array in expected.items():
        np.testing.assert_allclose(plain[name], array, rtol=1e-4, atol=1e-6)
    assert any(np.abs(narrow[name] - expected[name]).max() > 1e-3 for name in expected)


def sgd(bench, arrays, *, rate):
    trained = Everything()
    examples, vary = examples_for(bench, PARTITION, trained), augmentation(bench, 1, PARTITION)
    parameters = {name: torch.tensor(array, requires_grad=True) for name, array in arrays.items()}
    optimizer = torch.optim.SGD(parameters.values(), lr=rate)
    for rows in batch_rows(len(examples.lengths), LocalTraining(batch_size=8), batch_draws(bench, 1, PARTITION)):
        logits = bench.network.logits(vary(examples.states(rows, 1)), torch.ones(len(rows)), parameters, examples.at)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(logits, examples.labels[torch.from_numpy(rows)]).backward()
        optimizer.step()
    return {name: parameter.detach().numpy() for name, parameter in parameters.items()}


def test_a_client_draws_alike_in_the_same_round_and_otherwise_in_another(ask, floats):
    first, again, later = (arrays_of(ask(floats, algorithm="octo", server_round=number)) for number in (1, 1, 2))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert any(not np.array_equal(first[name], later[name]) for name in first)


def test_a_schedule_holds_from_its_rounds_on(ask, floats):
    schedule = [[0, 0.1], [3, 0.001]]
    for server_round, rate in ((3, 0.1), (4, 0.001)):
        found = arrays_of(ask(floats, server_round=server_round, learning_rate=schedule, max_batches=1))
        expected = arrays_of(ask(floats, server_round=server_round, learning_rate=rate, max_batches=1))
        assert all(np.array_equal(found[name], expected[name]) for name in found)


@pytest.mark.parametrize(("algorithm", "billed"), [("wageubn", "int8"), ("chunk-fp8", "fp32")])
def test_its_work_is_billed_in_the_format_of_the_algorithm(ask, floats, image_bench, algorithm, billed):
    workload = read_workload(ask(floats, algorithm=algorithm, processor="cpu", max_batches=2))
    forward, backward = workload.passes
    assert workload.num_examples == len(image_bench.partitions[PARTITION])
    assert (forward.count, forward.batch_size, forward.format, forward.processor) == (2, 8, billed, "cpu")
    assert (backward.kind, backward.trained.kind, backward.format) == ("backward", "whole", billed)


@pytest.mark.parametrize("algorithm", ["adaptive-fixed-point", "octo"])
def test_rounds_of_all_clients_learn_to_tell_the_stripes(ask, image_bench, floats, algorithm):
    arrays = floats
    for server_round in range(1, 5):
        replies = [
            arrays_of(ask(arrays, algorithm=algorithm, server_round=server_round, partition=each)) for each in range(5)
        ]
        arrays = {name: np.mean([reply[name] for reply in replies], axis=0, dtype=np.float32) for name in arrays}
    assert measure(image_bench, arrays, "test", Everything().split_point(4)) > 0.9


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"algorithm": "niti"}, r"'niti' is of integers alone, .*: set client\.name = 'integer'"),
        ({"algorithm": "oct"}, r"^algorithm 'oct': expected one of"),
        ({"algorithm": "mls", "learning_rate": -1.0}, r"^client\.options\.learning_rate: update\.learning_rate"),
        ({"algorithm": "mls", "learning_rate": [[2, 0.1]]}, r"epochs \[2\], expected rising ones that begin with 0"),
        ({"algorithm": "mls", "batch_size": 0}, r"client\.options\.batch_size: 0 is not a positive whole number"),
    ],
)
def test_a_wrong_option_gets_one_line(options, said):
    with pytest.raises(UserError, match=said):
        mixed_precision(**options)
