"""A node's configuration survives Flower's mapping, and what a client cannot work with is named."""

import pytest
from flwr.app import Context, RecordDict
from hypothesis import given
from hypothesis import strategies as st

from fedlab.errors import UserError
from fedlab.messages.node_config import NodeConfig, check_node, read_node_config

numbers, texts = st.integers(0, 2**31), st.text(min_size=1)


def test_the_keys_are_the_names_with_hyphens_and_values_keep_their_types():
    config = NodeConfig(partition_id=0, num_partitions=4, journal_path="/j", state_path="/s", board="rpi-4b")
    assert config.mapping() == {
        "partition-id": 0,
        "num-partitions": 4,
        "journal-path": "/j",
        "state-path": "/s",
        "board": "rpi-4b",
    }


@given(
    st.builds(
        NodeConfig,
        partition_id=st.none() | numbers,
        num_partitions=st.none() | numbers,
        data_path=st.just("") | texts,
        state_path=st.just("") | texts,
        journal_path=st.just("") | texts,
        board=st.just("") | texts,
    )
)
def test_what_is_written_is_read_back(config):
    context = Context(run_id=1, node_id=1, node_config=config.mapping(), state=RecordDict(), run_config={})
    assert read_node_config(context.node_config) == config


def test_keys_of_others_are_ignored():
    assert read_node_config({"partition-id": 1, "colour": "red"}) == NodeConfig(partition_id=1)


@pytest.mark.parametrize(
    "config", [{"partition-id": 1, "num-partitions": 2}, {"partition-id": 77, "data-path": "/data/texts.csv"}]
)
def test_a_node_has_a_partition_of_some_or_data_of_its_own(config):
    check_node(read_node_config(config))


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({}, "partition-id = None: expected a whole number"),
        ({"partition-id": 0}, "num-partitions = None"),
        ({"partition-id": "0", "num-partitions": 2}, "partition-id = '0'"),
        ({"partition-id": True, "num-partitions": 2}, "partition-id = True"),
        ({"partition-id": -1, "num-partitions": 2}, "partition-id = -1"),
        ({"partition-id": 2, "num-partitions": 2}, "partition-id = 2: of num-partitions = 2 the last is 1"),
        ({"data-path": "/data/texts.csv"}, "partition-id = None"),
    ],
)
def test_what_is_missing_is_named(config, reason):
    with pytest.raises(UserError, match=reason):
        check_node(read_node_config(config))


def test_data_of_its_own_are_not_split():
    own, part = NodeConfig(partition_id=77, data_path="/data"), NodeConfig(partition_id=0, num_partitions=4)
    assert (own.owns_data, own.clients, own.parts) == (True, 1, None)
    assert (part.owns_data, part.clients, part.parts) == (False, 4, 4)


def test_a_client_without_a_partition_is_told_so():
    with pytest.raises(UserError, match="partition-id = None"):
        _ = NodeConfig().partition
