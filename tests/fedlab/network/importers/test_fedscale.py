"""FedScale's pickles become rows of throughput, bandwidth and times, by hand-made clients of its form."""

import math
import pickle

import pytest

from fedlab.errors import UserError
from fedlab.network.importers.fedscale import read_availability, read_device_capacity


@pytest.fixture
def pickled(tmp_path):
    def write(document):
        (tmp_path / "trace").write_bytes(pickle.dumps(document))
        return tmp_path / "trace"

    return write


def refusal(read, path) -> str:
    with pytest.raises(UserError) as caught:
        read(path)
    return str(caught.value).replace(str(path), "FILE")


def test_a_device_is_as_fast_as_its_milliseconds_against_the_medians(pickled):
    path = pickled(
        {
            40: {"computation": 100.0, "communication": 8000.0},
            7: {"computation": 50, "communication": 800},
            3: {"computation": 200.0, "communication": 16000.0},
        }
    )
    imported = read_device_capacity(path)
    assert imported.columns == ("partition_id", "throughput", "down_bytes_per_second", "up_bytes_per_second")
    assert imported.rows == ((0, 1.0, 1e6, 1e6), (1, 2.0, 1e5, 1e5), (2, 0.5, 2e6, 2e6))
    assert imported.clients == 3
    assert imported.left_out == {}


def test_the_milliseconds_of_throughput_1_can_be_given(pickled):
    path = pickled({1: {"computation": 100.0, "communication": 8.0}})
    assert read_device_capacity(path, base_milliseconds=300).rows == ((0, 3.0, 1000.0, 1000.0),)
    assert "the base is 0 ms a sample" in refusal(lambda at: read_device_capacity(at, 0), path)


def test_devices_without_a_speed_are_left_out_and_counted(pickled):
    good = {"computation": 10.0, "communication": 8.0}
    path = pickled({1: good | {"computation": 0}, 2: good, 3: good | {"communication": 1e308}})
    imported = read_device_capacity(path)
    assert imported.rows == ((0, 1.0, 1000.0, 1000.0),)
    assert imported.left_out == {
        "whose computation is not a finite number above zero": 1,
        "whose communication is not a finite number above zero": 1,
    }


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([1, 2], "FILE: expected a dictionary with one dictionary for each client"),
        ({1: 5}, "FILE: expected a dictionary with one dictionary for each client"),
        ({}, "FILE: no client can be used: the file has none"),
        ({9: {"speed": 1}}, "FILE, client 9: no 'computation'; it has speed"),
        ({9: {"computation": "1", "communication": 1}}, "FILE, client 9: 'computation' is '1', expected a number"),
        ({9: {"computation": -1, "communication": 1}}, "FILE: no client can be used: 1 whose computation is not"),
    ],
)
def test_a_capacity_of_another_form_is_refused(pickled, document, said):
    assert refusal(read_device_capacity, pickled(document)).startswith(said)


def test_a_client_is_there_from_each_active_second_to_the_inactive_one(pickled):
    path = pickled(
        {
            5: {"duration": 70, "active": [10, 50], "inactive": [30, 100], "finish_time": 200, "model": "A1"},
            2: {"duration": 9, "active": [1], "inactive": [10], "finish_time": 300},
        }
    )
    imported = read_availability(path)
    assert imported.columns == ("partition_id", "on_seconds", "off_seconds", "period_seconds")
    assert imported.rows == ((0, 10, 30, 200), (0, 50, 100, 200), (1, 1, 10, 300))


def test_times_end_with_the_trace_at_the_latest(pickled):
    path = pickled({1: {"active": [10, 90, 150], "inactive": [30, 120], "finish_time": 100}})
    assert refusal(read_availability, pickled({1: {"active": [1, 2, 3], "inactive": [2], "finish_time": 9}})) == (
        "FILE, client 1: 3 active and 1 inactive seconds, expected pairs"
    )
    path = pickled({1: {"active": [10, 90, 150], "inactive": [30, 120], "finish_time": 100}})
    assert read_availability(path).rows == ((0, 10, 30, 100), (0, 90, 100, 100))


def test_who_is_never_there_is_left_out_and_counted(pickled):
    path = pickled(
        {
            1: {"active": [], "inactive": [], "finish_time": 10},
            2: {"active": [5], "inactive": [5], "finish_time": 10},
            3: {"active": [5], "inactive": [6], "finish_time": 10},
        }
    )
    imported = read_availability(path)
    assert imported.rows == ((0, 5, 6, 10),)
    assert imported.left_out == {"never available": 2}


@pytest.mark.parametrize(
    ("client", "said"),
    [
        ({"active": [1], "inactive": [2]}, "no 'finish_time'"),
        ({"active": 1, "inactive": [2], "finish_time": 3}, "'active' is '1', expected a list"),
        ({"active": ["x"], "inactive": [2], "finish_time": 3}, "a time of 'active' is 'x', expected a number"),
        ({"active": [math.nan], "inactive": [2], "finish_time": 3}, "a time of 'active' is 'nan', expected a number"),
        ({"active": [1], "inactive": [2], "finish_time": 10**400}, "1 whose finish_time is not a finite number"),
        ({"active": [1], "inactive": [2], "finish_time": 0}, "1 whose finish_time is not a finite number above zero"),
    ],
)
def test_an_availability_of_another_form_is_refused(pickled, client, said):
    assert said in refusal(read_availability, pickled({1: client}))
