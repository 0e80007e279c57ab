from fedlab.results.html.timeline import (
    MOST_CLIENTS,
    bar_columns,
    kept,
    round_columns,
    slowest_of_each,
    timelines,
)


def one_round(client, round_, *clients, seconds=10.0, **more):
    (found,) = timelines([round_(1, seconds, clients=clients, **more)], clients)
    return found


def test_the_last_client_in_time_is_why_a_round_took_that_long(client, round_):
    slow = client(partition_id=1, device="jetson-nano", compute_seconds=7.0, idle_seconds=0.0)

    found = one_round(client, round_, client(partition_id=0), slow)

    assert (found.seconds, found.last.record.partition_id) == (10.0, 1)
    assert found.why == (
        "Round 1 took 10.0 s. Client 1 (jetson-nano) was the last in time, mostly computing: 1.00 s downloading, "
        "7.00 s computing, 2.00 s uploading. Half of the others waited 3.00 s or longer."
    )


def test_bars_are_the_slowest_first_with_their_stages_and_the_groups_end(client, round_):
    found = one_round(
        client, round_, client(partition_id=0), client(partition_id=1, compute_seconds=7.0, idle_seconds=0.0)
    )

    bars = bar_columns(found)

    assert bars["client"] == [1, 0]
    assert bars["compute"] == [7, 4]
    assert bars["wait"] == [0, 3]
    assert bars["start"] == [0, 0]
    assert bars["end"] == [10, 10]
    assert bars["lost"] == [None, None]


def test_groups_of_a_trial_run_side_by_side_and_end_on_their_own(client, round_):
    deep = client(partition_id=1, group="deep", compute_seconds=9.0, idle_seconds=0.0)

    bars = bar_columns(one_round(client, round_, client(group="shallow", idle_seconds=0.0), deep, trial=1))

    assert dict(zip(bars["group"], bars["end"], strict=True)) == {"deep": 12, "shallow": 7}


def test_clients_that_evaluate_begin_when_training_has_ended(client, round_):
    judge = client(group="evaluate", upload_seconds=0.0, compute_seconds=1.0, idle_seconds=0.0)

    bars = bar_columns(one_round(client, round_, client(), judge, seconds=12.0))

    assert dict(zip(bars["group"], bars["start"], strict=True)) == {"train": 0, "evaluate": 10}
    assert max(bars["end"]) == 12


def test_a_client_that_is_asked_again_begins_when_the_exchange_before_has_ended(client, round_):
    bars = bar_columns(one_round(client, round_, client(), client(), seconds=20.0))

    assert bars["start"] == [0, 10]


def test_who_came_late_or_dropped_out_is_counted_and_is_not_why_a_round_ended(client, round_):
    late = client(partition_id=1, compute_seconds=20.0, idle_seconds=0.0, late_seconds=13.0)
    gone = client(partition_id=2, error="went away", dropout="gone", compute_seconds=1.0, upload_seconds=0.0,
                  idle_seconds=0.0)  # fmt: skip

    found = one_round(client, round_, client(), late, gone)

    assert found.last.record.partition_id == 0
    assert found.seconds == 10.0
    assert "1 of 3 came after the round's end." in found.why
    assert "Dropped out of 3: 1 gone." in found.why
    assert bar_columns(found)["lost"] == ["gone" if each == 2 else None for each in bar_columns(found)["client"]]


def test_the_wait_for_available_clients_is_what_no_client_accounts_for(client, round_):
    first, second = client(), client(server_round=2)

    found = timelines([round_(1, 10.0, clients=[first]), round_(2, 45.0, clients=[second])], [first, second])

    assert [each.waited_seconds for each in found] == [0.0, 25.0]
    assert found[1].why.startswith("Round 2 took 35.0 s. Until enough clients were available 25.0 s passed.")
    assert round_columns(found)["wait"] == [3, 28]


def test_of_many_clients_those_that_took_longest_are_drawn(client, round_):
    clients = [client(partition_id=at, compute_seconds=1.0 + at, idle_seconds=0.0) for at in range(MOST_CLIENTS + 5)]

    found = one_round(client, round_, *clients)

    assert len(found.bars) == MOST_CLIENTS
    assert found.left_out == 5
    assert {bar.record.partition_id for bar in found.bars} == set(range(5, MOST_CLIENTS + 5))


def test_of_many_rounds_the_longest_and_some_over_the_whole_run_are_kept(client, round_):
    clients = [client(server_round=number, compute_seconds=5.0 + (number == 37)) for number in range(1, 101)]
    found = timelines(
        [round_(each.server_round, 11.0 * each.server_round, clients=[each]) for each in clients], clients
    )

    shown = [each.server_round for each in kept(found, 10)]

    assert len(shown) == 10
    assert shown == sorted(shown)
    assert {1, 37, 100} <= set(shown)
    assert kept(found, 100) == found
    assert len(kept(found, 0)) == 1


def test_of_many_rounds_the_slowest_of_each_stretch_has_a_bar(client, round_):
    clients = [client(server_round=number, compute_seconds=5.0 + (number == 37)) for number in range(1, 101)]
    found = timelines(
        [round_(each.server_round, 11.0 * each.server_round, clients=[each]) for each in clients], clients
    )

    shown = [each.server_round for each in slowest_of_each(found, 10)]

    assert len(shown) == 10
    assert 37 in shown
    assert slowest_of_each(found, 100) == found
    assert slowest_of_each([], 10) == []


def test_a_round_without_records_of_clients_has_no_time_line(round_):
    assert timelines([round_(1, 10.0)], []) == []
