"""FedScale's traces: the pickles of device capacity and of client availability.

Their formats are stated in FedScale's benchmark/dataset/data/device_info/README.md, units in its client manager.
"""

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from statistics import median

from fedlab.errors import UserError
from fedlab.network.importers.imported import (
    AVAILABILITY_COLUMNS,
    ImportedTable,
    LeftOutError,
    TraceRows,
    clients_of,
    gather,
    number,
    positive,
    value_of,
)
from fedlab.network.importers.plain_pickle import load_plain

DEVICE_COLUMNS = ("partition_id", "throughput", "down_bytes_per_second", "up_bytes_per_second")
_BYTES_PER_KILOBIT = 125  # of 1000 bits

Client = Mapping[str, object]


def read_device_capacity(path: Path, base_milliseconds: float | None = None) -> ImportedTable:
    """Read a pickle of {client: {"computation": ms a sample, "communication": kbit/s in both directions}}.

    A client's throughput is `base_milliseconds` divided by its own; the default base is the median client's, which then
    has a throughput of 1. Raises UserError if the file has another form.
    """
    clients = clients_of(load_plain(path), path)
    capacities = [_capacity(client, f"{path}, client {name}") for name, client in clients.items()]
    usable = [milliseconds for milliseconds, _ in capacities if 0 < milliseconds < math.inf]
    base = base_milliseconds if base_milliseconds is not None else median(usable or [1.0])
    if not 0 < base < math.inf:
        raise UserError(f"the base is {base:g} ms a sample, expected a number above 0")
    return gather(DEVICE_COLUMNS, [partial(_device, each, base) for each in capacities], path)


def read_availability(path: Path) -> ImportedTable:
    """Read a pickle of {client: {"active": [seconds], "inactive": [seconds], "finish_time": seconds}}.

    A client is available from each active second to the inactive second at the same index. Its intervals repeat after
    its `finish_time`; an interval that is still open then ends there. Raises UserError if the file has another form.
    """
    clients = clients_of(load_plain(path), path)
    readers = [partial(_times, client, f"{path}, client {name}") for name, client in clients.items()]
    return gather(AVAILABILITY_COLUMNS, readers, path)


def _capacity(client: Client, place: str) -> tuple[float, float]:
    return value_of(client, "computation", float, place), value_of(client, "communication", float, place)


def _device(capacity: tuple[float, float], base_milliseconds: float) -> TraceRows:
    milliseconds = positive(capacity[0], "computation")
    throughput = positive(base_milliseconds / milliseconds, "throughput")
    bytes_per_second = positive(capacity[1] * _BYTES_PER_KILOBIT, "communication")
    return [(throughput, bytes_per_second, bytes_per_second)]


def _times(client: Client, place: str) -> TraceRows:
    active, inactive = _seconds(client, "active", place), _seconds(client, "inactive", place)
    finish = positive(value_of(client, "finish_time", float, place), "finish_time")
    if len(active) == len(inactive) + 1:
        inactive.append(finish)
    if len(active) != len(inactive):
        raise UserError(f"{place}: {len(active)} active and {len(inactive)} inactive seconds, expected pairs")
    clipped = [(max(0, on), min(off, finish)) for on, off in zip(active, inactive, strict=True)]
    times: TraceRows = [(on, off, finish) for on, off in clipped if on < off]
    if not times:
        raise LeftOutError("never available")
    return times


def _seconds(client: Client, key: str, place: str) -> list[float]:
    return [number(second, f"{place}: a time of '{key}'") for second in value_of(client, key, list, place)]
