"""A method of an earlier version is the passes it stood for."""

import pytest

from fedlab.reprice.old_work import old_workload
from fedlab.workload.passes import WHOLE, bottleneck
from fedlab.workload.workload import Workload, forward_passes, training_passes

WORK = {"depth": 2, "width": 8, "batch_size": 4, "sequence_length": 64}
BATCH = {"batch_size": 4, "input_shape": (64,), "model_blocks": 12}


def of(method, **counts):
    return old_workload({"method": method, **WORK}, num_examples=40, model_blocks=12, **counts)


def test_adapters_were_trained_in_the_top_blocks_partly_from_a_cache():
    passes = training_passes(batches=10, cached_batches=7, depth=2, trained=bottleneck(8), **BATCH)
    assert of("adapter", batches=10, cached_batches=7) == Workload(passes=passes, num_examples=40)


@pytest.mark.parametrize("method", ["full", "freeze"])
def test_whole_blocks_started_from_the_texts_whatever_was_said_of_a_cache(method):
    passes = training_passes(batches=10, depth=2, trained=WHOLE, **BATCH)
    assert of(method, batches=10, cached_batches=7) == Workload(passes=passes, num_examples=40)


@pytest.mark.parametrize("method", ["evaluate", "prefill"])
def test_evaluations_and_filling_a_cache_ran_forward_alone(method):
    assert of(method, batches=10, cached_batches=0).passes == forward_passes(batches=10, **BATCH)
