"""The clients of a round are summed up by group."""

from fedlab.results.records import ClientRecord, GroupRecord, group_records


def adapters(depth=2, width=8):
    return {"set": "bottleneck", "depth": depth, "width": width}


def client(partition_id, group, *, seconds=(0.0, 0.0, 0.0), error=None, **rest):
    download, compute, upload = seconds
    defaults = {
        "configuration": adapters(2, 8), "num_examples": 4, "batches": 1, "train_loss": None, "joules": 0.0,
        "bytes_down": 0, "bytes_up": 0, "peak_memory_bytes": 0,
    }  # fmt: skip
    return ClientRecord(
        server_round=1, group=group, partition_id=partition_id, device="jetson-tx2", download_seconds=download,
        compute_seconds=compute, upload_seconds=upload, error=error, **defaults | rest,
    )  # fmt: skip


def failed(partition_id, group):
    return client(partition_id, group, error="ValueError: no", configuration=adapters(0, 1), num_examples=0, batches=0)


def test_no_clients_make_no_groups():
    assert group_records([]) == []


def test_a_group_sums_traffic_and_energy_and_lasts_as_long_as_its_slowest():
    members = [
        client(0, "deep", seconds=(1.0, 5.0, 2.0), joules=10.0, bytes_down=100, bytes_up=10, train_loss=0.5),
        client(1, "deep", seconds=(4.0, 1.0, 4.0), joules=20.0, bytes_down=100, bytes_up=30, train_loss=1.0),
    ]
    assert group_records(members) == [
        GroupRecord(
            group="deep",
            configuration=adapters(2, 8),
            clients=2,
            failures=0,
            seconds=9.0,
            joules=30.0,
            bytes_down=200,
            bytes_up=40,
            train_loss=0.75,
        )
    ]


def test_groups_come_in_the_order_they_first_appear():
    members = [client(0, "wide", configuration=adapters(2, 16)), client(1, "deep", configuration=adapters(3, 8))]
    members += [client(2, "wide", configuration=adapters(2, 16))]
    groups = group_records(members)
    assert [(each.group, each.configuration, each.clients) for each in groups] == [
        ("wide", adapters(2, 16), 2),
        ("deep", adapters(3, 8), 1),
    ]


def test_a_group_lasts_until_its_round_ends_whoever_waits_or_comes_late():
    waiting = client(0, "deep", seconds=(1.0, 5.0, 2.0), idle_seconds=3.0)
    late = client(1, "deep", seconds=(1.0, 10.0, 4.0), late_seconds=4.0)
    assert (waiting.round_seconds, late.round_seconds) == (11.0, 11.0)
    assert group_records([waiting, late])[0].seconds == 11.0


def test_a_client_that_dropped_out_is_a_failure_and_its_energy_and_bytes_count():
    gone = client(1, "deep", seconds=(2.0, 1.0, 0.0), joules=5.0, bytes_down=60, error="gone", dropout="gone")
    (group,) = group_records([client(0, "deep", seconds=(1.0, 1.0, 0.0), joules=7.0, bytes_down=40), gone])
    assert (group.clients, group.failures, group.joules, group.bytes_down, group.seconds) == (2, 1, 12.0, 100, 3.0)


def test_a_group_that_failed_is_marked():
    members = [client(0, "deep"), client(1, "wide")]
    assert [group.failed for group in group_records(members, failed=["wide"])] == [False, True]


def test_a_client_that_failed_is_counted_and_adds_nothing():
    (group,) = group_records([client(0, "deep", seconds=(0, 3, 0), train_loss=0.5), failed(1, "deep")])
    assert (group.clients, group.failures, group.seconds, group.train_loss) == (2, 1, 3.0, 0.5)
    assert group.configuration == adapters(2, 8)


def test_a_group_has_the_configuration_its_members_were_sent_as_far_as_it_is_known():
    members = [client(0, "deep", configuration={"set": "bottleneck"}), client(1, "deep")]
    assert group_records(members)[0].configuration == adapters(2, 8)
    assert group_records(members[:1])[0].configuration == {"set": "bottleneck"}


def test_a_group_of_failures_only_took_no_time():
    (group,) = group_records([failed(0, "deep"), failed(1, "deep")])
    assert (group.clients, group.failures, group.seconds, group.joules, group.train_loss) == (2, 2, 0.0, 0, None)


def test_the_loss_is_the_mean_of_those_that_told_one():
    members = [client(0, "a", train_loss=1.0), client(1, "a"), client(2, "a", train_loss=0.0)]
    assert group_records(members)[0].train_loss == 0.5
