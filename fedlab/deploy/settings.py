"""Settings of a deployed run, from the run config of Flower: where to write, and how long to wait for nodes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedlab.errors import UserError


@dataclass(frozen=True, kw_only=True)
class WaitSettings:
    """How many nodes to wait for, and how long.

    A run starts when `nodes` are available, or after `wait_seconds` with those that are. It continues while at least
    `least_nodes` are available. A node that does not answer an order within `reply_seconds` drops out of the round.
    """

    nodes: int = 1
    least_nodes: int = 1
    wait_seconds: float = 300.0
    reply_seconds: float = 3600.0


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """`out` is the folder of runs; a named `run` is resumed if its folder exists, an unnamed one gets a new folder."""

    out: Path
    run: str
    wait: WaitSettings


def settings_of_run(run_config: Mapping[str, Any]) -> RunSettings:
    """Read the settings of a run; missing ones have the defaults of `WaitSettings`.

    Raises:
        UserError: a value has the wrong type.
    """
    default = WaitSettings()
    nodes = _number(run_config, "nodes", default.nodes, whole=True)
    least = _number(run_config, "least-nodes", default.least_nodes, whole=True)
    if least > nodes:
        raise UserError(f"run config least-nodes = {least:g}: more than nodes = {nodes:g}")
    return RunSettings(
        out=Path(str(run_config.get("out", "runs"))).expanduser(),
        run=_name(run_config),
        wait=WaitSettings(
            nodes=int(nodes),
            least_nodes=int(least),
            wait_seconds=_number(run_config, "wait-seconds", default.wait_seconds),
            reply_seconds=_number(run_config, "reply-seconds", default.reply_seconds),
        ),
    )


def _name(run_config: Mapping[str, Any]) -> str:
    name = str(run_config.get("run", ""))
    if name != Path(name).name or name == "..":
        raise UserError(f"run config run = {name!r}: expected the name of a folder below `out`")
    return name


def _number(run_config: Mapping[str, Any], key: str, default: float, *, whole: bool = False) -> float:
    value = run_config.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or value <= 0:
        raise UserError(f"run config {key} = {value!r}: expected a {'whole ' if whole else ''}number above 0")
    return value
