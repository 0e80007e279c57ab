"""FLASH's traces: `state_traces.json` (states of phones) and `speed_distri.json` (bandwidths of their networks).

Formats and their meaning are taken from models/timer.py and models/device.py of its repository, PKU-Chengxu/FLASH.
"""

import json
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fedlab.common.files import read_text
from fedlab.errors import UserError
from fedlab.network.importers.imported import (
    AVAILABILITY_COLUMNS,
    ImportedTable,
    LeftOutError,
    TraceRows,
    clients_of,
    gather,
    positive,
    value_of,
)

SPEED_COLUMNS = (
    *("partition_id", "down_bytes_per_second", "up_bytes_per_second"),
    *("down_sigma_bytes_per_second", "up_sigma_bytes_per_second"),
)
_BYTES_PER_KILOBYTE = 1000  # FLASH itself divides bytes by 1024 for downloads and by 1000 for uploads
_SECOND_ZERO = np.datetime64("2020-01-02T00:00:00", "s")  # of simulated time
_LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) *\t *(\S.*)", re.ASCII)

# The state that an event sets. Other events, such as battery levels, are ignored.
_EVENTS: Mapping[str, tuple[str, bool]] = {
    "battery_charged_on": ("charging", True),
    "battery_charged_off": ("charging", False),
    "screen_lock": ("locked", True),
    "screen_unlock": ("locked", False),
    "wifi": ("wifi", True),
    **dict.fromkeys(("unknown", "2g", "3g", "4g", "5g"), ("wifi", False)),
}


def read_state_traces(path: Path) -> ImportedTable:
    """Read JSON of {client: {"messages": lines of a time, a tab and an event}}.

    A client is available while its phone is locked, charging and on Wi-Fi. Simulated second 0 is midnight of 2 January
    2020, so the time of day is kept. A client's intervals repeat after the span of its own trace. As in FLASH, clients
    whose trace is broken or never ready are left out. Raises UserError if the file has another form.
    """
    clients = clients_of(_load_json(path), path)
    messages = [value_of(client, "messages", str, f"{path}, client {name}") for name, client in clients.items()]
    return gather(AVAILABILITY_COLUMNS, [partial(_times, text) for text in messages], path)


def read_speeds(path: Path) -> ImportedTable:
    """Read JSON of {client: {"down_u", "down_sigma", "up_u", "up_sigma"}}: mean and deviation in kB/s of 1000 bytes.

    Raises:
        UserError: the file has another form.
    """
    clients = clients_of(_load_json(path), path)
    readers = [partial(_speeds, client, f"{path}, client {name}") for name, client in clients.items()]
    return gather(SPEED_COLUMNS, readers, path)


def _load_json(path: Path) -> Any:
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON: {error}") from error


def _speeds(client: Mapping[str, object], place: str) -> TraceRows:
    down, up, *sigmas = (value_of(client, key, float, place) for key in ("down_u", "up_u", "down_sigma", "up_sigma"))
    means = [
        positive(_BYTES_PER_KILOBYTE * down, "download speed"),
        positive(_BYTES_PER_KILOBYTE * up, "upload speed"),
    ]
    deviations = [_BYTES_PER_KILOBYTE * sigma for sigma in sigmas]
    if not all(0 <= deviation < np.inf for deviation in deviations):
        raise LeftOutError("whose deviation of speed is not a finite number from zero up")
    return [(*means, *deviations)]


def _times(messages: str) -> TraceRows:
    """Return the intervals in which a client is available, within the period that its trace spans."""
    events = sorted((_event(line) for line in messages.split("\n") if line.strip()), key=lambda event: event[0])
    period = events[-1][0] - events[0][0] if events else 0
    if period == 0:
        raise LeftOutError("whose trace has no length")
    times: TraceRows = [
        (on, off, period) for start, end in _ready(events) for on, off in _folded(start, end, period) if on < off
    ]
    if not times:
        raise LeftOutError("never available")
    return times


def _event(line: str) -> tuple[int, str]:
    """Return an event as (seconds since second 0, what happened)."""
    match = _LINE.fullmatch(line.strip())
    try:
        moment = np.datetime64(match[1], "s") if match else None
    except ValueError:  # for example the 30th of February
        moment = None
    if match is None or moment is None:
        raise LeftOutError("whose trace has a line that is not a time, a tab and an event")
    return int((moment - _SECOND_ZERO).astype(int)), match[2].lower()


def _ready(events: list[tuple[int, str]]) -> list[tuple[int, int]]:
    """Return the intervals in which a phone is locked, charging and on Wi-Fi; the end of the trace ends the last."""
    state = {"charging": False, "locked": False, "wifi": False}
    times: list[tuple[int, int]] = []
    since: int | None = None
    for second, event in events:
        if event in _EVENTS:
            key, value = _EVENTS[event]
            state[key] = value
        if all(state.values()):
            since = second if since is None else since
        elif since is not None:
            times.append((since, second))
            since = None
    return times if since is None else [*times, (since, events[-1][0])]


def _folded(start: int, end: int, period: int) -> list[tuple[int, int]]:
    """Fold an interval into the first period: into one interval, or into two if it crosses the period's end."""
    on = start % period
    off = on + end - start
    return [(on, off)] if off <= period else [(on, period), (0, off - period)]
