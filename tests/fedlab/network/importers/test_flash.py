"""What phones did becomes the times in which FLASH would let them train; speeds keep their deviation."""

import json

import pytest

from fedlab.errors import UserError
from fedlab.network.importers.flash import read_speeds, read_state_traces

DAY = 86400


@pytest.fixture
def written(tmp_path):
    def write(document):
        path = tmp_path / "trace.json"
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return path

    return write


def refusal(read, path) -> str:
    with pytest.raises(UserError) as caught:
        read(path)
    return str(caught.value).replace(str(path), "FILE")


def phone(*events: str) -> dict:
    """Return a client of events such as '2 01:00:00 wifi', on days of January 2020."""
    lines = [f"2020-01-{int(day):02} {time}\t{event}" for day, time, event in (each.split() for each in events)]
    return {"guid": "g", "model": "m", "messages": "\n".join(lines) + "\n"}


def test_a_phone_is_ready_while_locked_charging_and_on_wifi(written):
    events = (
        *("2 00:00:00 wifi", "2 01:00:00 battery_charged_on", "2 01:30:00 87.0%", "2 02:00:00 screen_lock"),
        *("2 02:30:00 screen_off", "2 03:00:00 screen_unlock", "2 04:00:00 screen_lock", "2 05:00:00 4G"),
        *("2 06:00:00 Wifi", "2 07:00:00 battery_charged_off", "3 00:00:00 screen_on"),
    )
    imported = read_state_traces(written({"a": phone(*events)}))
    assert imported.columns == ("partition_id", "on_seconds", "off_seconds", "period_seconds")
    hours = [(2, 3), (4, 5), (6, 7)]
    assert imported.rows == tuple((0, on * 3600, off * 3600, DAY) for on, off in hours)


def test_second_0_is_the_midnight_that_flash_counts_from(written):
    # A trace of a day from noon to noon: what it says of the 3rd, 6 o'clock, holds for 6 o'clock of every day, and a
    # time over midnight is split in two.
    events = (
        *("2 12:00:00 wifi", "2 23:00:00 battery_charged_on", "2 23:30:00 screen_lock"),
        *("3 06:00:00 screen_unlock", "3 12:00:00 4G"),
    )
    rows = read_state_traces(written({"a": phone(*events)})).rows
    assert rows == ((0, 84600, DAY, DAY), (0, 0, 6 * 3600, DAY))


def test_a_time_that_has_not_ended_ends_with_the_trace(written):
    events = ("2 00:00:00 wifi", "2 01:00:00 battery_charged_on", "2 02:00:00 screen_lock", "2 03:00:00 50%")
    assert read_state_traces(written({"a": phone(*events)})).rows == ((0, 7200, 10800, 10800),)


def test_events_are_taken_in_the_order_of_their_times(written):
    events = ("2 02:00:00 screen_lock", "2 00:00:00 wifi", "2 01:00:00 battery_charged_on", "2 03:00:00 3g")
    assert read_state_traces(written({"a": phone(*events)})).rows == ((0, 7200, 10800, 10800),)


def test_phones_that_cannot_be_used_are_left_out_and_counted(written):
    ready = phone("2 00:00:00 wifi", "2 00:00:00 battery_charged_on", "2 01:00:00 screen_lock", "2 02:00:00 4g")
    imported = read_state_traces(
        written(
            {
                "idle": phone("2 00:00:00 wifi", "2 01:00:00 4g"),
                "short": phone("2 00:00:00 wifi"),
                "empty": {"messages": ""},
                "spoilt": {"messages": "2020-01-02 00:00:00 wifi"},
                "undated": {"messages": "2020-02-30 00:00:00\twifi"},
                "good": ready,
            }
        )
    )
    assert imported.rows == ((0, 3600, 7200, 7200),)
    assert imported.left_out == {
        "never available": 1,
        "whose trace has no length": 2,
        "whose trace has a line that is not a time, a tab and an event": 2,
    }


def test_speeds_become_bytes_per_second_with_their_deviation(written):
    path = written({"x": {"down_u": 7491.4, "down_sigma": 3369.5, "up_u": 4935.0, "up_sigma": 0}})
    imported = read_speeds(path)
    assert imported.columns[1:] == (
        *("down_bytes_per_second", "up_bytes_per_second"),
        *("down_sigma_bytes_per_second", "up_sigma_bytes_per_second"),
    )
    assert imported.rows == (pytest.approx((0, 7_491_400, 4_935_000, 3_369_500, 0)),)


def test_clients_without_a_speed_are_left_out_and_counted(written):
    good = {"down_u": 1, "down_sigma": 1, "up_u": 1, "up_sigma": 1}
    path = written({"a": good | {"up_u": 0}, "b": good, "c": good | {"down_sigma": -1}})
    imported = read_speeds(path)
    assert imported.clients == 1
    assert imported.left_out == {
        "whose upload speed is not a finite number above zero": 1,
        "whose deviation of speed is not a finite number from zero up": 1,
    }


@pytest.mark.parametrize(
    ("read", "document", "said"),
    [
        (read_speeds, "{", "FILE: not JSON"),
        (read_speeds, "[" * 100_000, "FILE: not JSON"),
        (read_speeds, [], "FILE: expected a dictionary with one dictionary for each client"),
        (read_speeds, {"x": {"down_u": 1}}, "FILE, client x: no 'up_u'; it has down_u"),
        (read_state_traces, {"x": {}}, "FILE, client x: no 'messages'; it has nothing"),
        (read_state_traces, {"x": {"messages": 3}}, "FILE, client x: 'messages' is '3', expected text"),
        (read_state_traces, {}, "FILE: no client can be used: the file has none"),
    ],
)
def test_a_file_of_another_form_is_refused(written, read, document, said):
    assert refusal(read, written(document)).startswith(said)


def test_a_missing_file_is_told(tmp_path):
    assert "cannot be read: No such file" in refusal(read_speeds, tmp_path / "none.json")
