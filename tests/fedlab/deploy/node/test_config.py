import pytest

from fedlab.deploy.node.config import check_node, clients_of, parts_of
from fedlab.errors import UserError


@pytest.mark.parametrize(
    "config", [{"partition-id": 1, "num-partitions": 2}, {"partition-id": 77, "data-path": "/data/texts.csv"}]
)
def test_a_node_has_a_partition_of_some_or_data_of_its_own(config):
    check_node(config)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({}, "partition-id = None: expected a whole number"),
        ({"partition-id": 0}, "num-partitions = None"),
        ({"partition-id": "0", "num-partitions": 2}, "partition-id = '0'"),
        ({"partition-id": 2, "num-partitions": 2}, "partition-id = 2: of num-partitions = 2 the last is 1"),
        ({"data-path": "/data/texts.csv"}, "partition-id = None"),
    ],
)
def test_what_is_missing_is_named(config, reason):
    with pytest.raises(UserError, match=reason):
        check_node(config)


def test_data_of_its_own_are_not_split():
    assert clients_of({"partition-id": 77, "data-path": "/data"}) == 1
    assert parts_of({"partition-id": 77, "data-path": "/data"}) is None
    assert clients_of({"partition-id": 0, "num-partitions": 4}) == 4
    assert parts_of({"partition-id": 0, "num-partitions": 4}) == 4
