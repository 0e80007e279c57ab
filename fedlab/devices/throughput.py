"""How fast each client's board is against its profile: drawn, or read from a file of measured ones."""

import math
from pathlib import Path
from statistics import NormalDist

import numpy as np

from fedlab.common.csv_numbers import number_rows
from fedlab.common.seeds import generator
from fedlab.config.schema import ThroughputTable
from fedlab.errors import UserError


def relative_throughputs(table: ThroughputTable, num_clients: int, seed: int, base: Path) -> np.ndarray | None:
    """Return each client's throughput in units of its profile's, float64 [num_clients]; None if all are as profiled.

    A client's draw does not depend on how many there are. Raises UserError if the file cannot be read (a relative path
    starts at `base`).
    """
    if table.csv is not None:
        measured = read_throughputs(base / Path(table.csv).expanduser())
        return measured[np.arange(num_clients) % len(measured)]
    if table.distribution is None:
        return None
    return _draws(table, generator(seed, "throughput").random(num_clients)) / _base(table)


def read_throughputs(path: Path) -> np.ndarray:
    """Read a CSV of `partition_id,throughput`, in any order: the throughputs by partition id, from 0 up without a gap.

    Raises UserError, naming the line, for what is no positive number, an id that comes twice or one that is missing.
    """
    found: dict[int, float] = {}
    for row in number_rows(path, ("partition_id", "throughput")):
        partition_id, throughput = row.partition_id(), row.positive("throughput")
        if partition_id in found:
            raise UserError(f"{row.place}: partition_id {partition_id} comes a second time, expected one line each")
        found[partition_id] = throughput
    missing = next(each for each in range(len(found) + 1) if each not in found)
    if missing < len(found):
        raise UserError(f"{path}: no line for partition_id {missing}, expected all from 0 to {max(found)}")
    return np.array([found[each] for each in range(len(found))])


def _draws(table: ThroughputTable, uniform: np.ndarray) -> np.ndarray:
    """Turn draws from [0, 1) into those of the distribution, by its inverse: nothing has to be drawn again."""
    if table.distribution == "uniform":
        low, high = _given(table.low), _given(table.high)
        return low + (high - low) * uniform
    if table.distribution == "log-normal":
        return _given(table.median) * np.exp(_given(table.sigma) * _standard_normal(uniform))
    normal = NormalDist(_given(table.mean), _given(table.sd))
    low, high = _given(table.low), _given(table.high)
    below, up_to = normal.cdf(low), normal.cdf(high)
    drawn = normal.mean + normal.stdev * _standard_normal(below + (up_to - below) * uniform)
    return np.clip(drawn, low, high)  # the inverse is exact to 16 digits only


def _standard_normal(probabilities: np.ndarray) -> np.ndarray:
    inverse, least = NormalDist().inv_cdf, math.ulp(0.5)  # it is defined strictly between 0 and 1
    return np.array([inverse(each) for each in np.clip(probabilities, least, 1 - least).tolist()])


def _base(table: ThroughputTable) -> float:
    return table.base if table.base is not None else _given(table.median if table.high is None else table.high)


def _given(value: float | None) -> float:
    assert value is not None, "checked with the experiment"
    return value
