"""Before round 1 all clients fill their activation caches; those that fail fill them when they train."""

import pytest
from flwr.app import Message, RecordDict

from fedlab.errors import RunFailedError
from fedlab.messages.flower_private import CLIENT_RAISED, error_reply
from fedlab.messages.orders import PREFILL, configuration_of
from fedlab.server.prefill import prefill

CONFIGURATION = {"set": "bottleneck", "depth": 3, "width": 24}


def filled(message):
    return Message(RecordDict(), reply_to=message)


def broken(message):
    return error_reply(message, CLIENT_RAISED, "OSError: the disk is full")


def test_every_client_is_asked_once_to_fill_its_cache_for_that_configuration(memory_grid):
    grid = memory_grid(filled, [7, 5, 9])
    prefill(grid, CONFIGURATION)
    assert [(each.metadata.dst_node_id, each.metadata.message_type) for each in grid.sent] == [
        (7, PREFILL),
        (5, PREFILL),
        (9, PREFILL),
    ]
    assert [configuration_of(each) for each in grid.sent] == [CONFIGURATION] * 3


def test_one_client_that_fills_its_cache_is_enough(memory_grid):
    grid = memory_grid(lambda message: (filled if message.metadata.dst_node_id == 5 else broken)(message), [7, 5, 9])
    prefill(grid, CONFIGURATION)
    assert len(grid.sent) == 3


def test_where_all_fail_the_run_ends_with_the_reason_of_the_first(memory_grid):
    match = r"client\.prefill: none of 2 clients filled its cache: OSError: the disk is full"
    with pytest.raises(RunFailedError, match=match):
        prefill(memory_grid(broken, [7, 5]), CONFIGURATION)


def test_where_no_reply_comes_the_run_ends_too(memory_grid):
    with pytest.raises(RunFailedError, match="filled its cache: nothing came back in time"):
        prefill(memory_grid(lambda message: None, [7, 5]), CONFIGURATION)
