"""Links: the time that bytes take between the server and a client."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from fedlab.common.short_text import short
from fedlab.common.units import is_number, parse_bandwidth
from fedlab.config.builtins import LINKS
from fedlab.config.guard import guarded, returned_number
from fedlab.config.plugins import call_with_options, resolve, with_known
from fedlab.errors import UserError

Direction = Literal["down", "up"]


_MOST_LATENCY_SECONDS = 1e9


@runtime_checkable
class Link(Protocol):
    """The network between the server and the clients."""

    def transfer_seconds(
        self, num_bytes: int, *, direction: Direction, partition_id: int, server_round: int, start_seconds: float
    ) -> float:
        """Return the seconds a message takes to (`down`) or from (`up`) a client, if sent at `start_seconds`."""
        ...


class Bandwidth(Protocol):
    """The bandwidth of a client's link, constant within a round."""

    def __call__(self, *, direction: Direction, partition_id: int, server_round: int) -> float:
        """Return bytes per second, above zero."""
        ...


@dataclass(frozen=True, kw_only=True)
class BandwidthLink:
    """A link whose bandwidth does not change during a transfer."""

    bandwidth: Bandwidth
    latency_seconds: float

    def transfer_seconds(
        self, num_bytes: int, *, direction: Direction, partition_id: int, server_round: int, start_seconds: float
    ) -> float:
        """Return the latency plus the bytes divided by the client's bandwidth."""
        speed = self.bandwidth(direction=direction, partition_id=partition_id, server_round=server_round)
        return self.latency_seconds + num_bytes / speed


@dataclass(frozen=True, kw_only=True)
class ListedBandwidth:
    """A list of bandwidths: partition i has entry i, modulo the length of the list."""

    bytes_per_second: tuple[float, ...]

    def __call__(self, *, direction: Direction, partition_id: int, server_round: int) -> float:
        """Return the partition's bandwidth, the same for both directions and all rounds."""
        return self.bytes_per_second[partition_id % len(self.bytes_per_second)]


@dataclass(frozen=True, kw_only=True)
class AsymmetricLink:
    """A link made of two: one for each direction."""

    down: Link
    up: Link
    latency_seconds: float

    def transfer_seconds(
        self, num_bytes: int, *, direction: Direction, partition_id: int, server_round: int, start_seconds: float
    ) -> float:
        """Return the latency plus the seconds of the direction's own link."""
        link = self.down if direction == "down" else self.up
        return self.latency_seconds + link.transfer_seconds(
            num_bytes,
            direction=direction,
            partition_id=partition_id,
            server_round=server_round,
            start_seconds=start_seconds,
        )


@dataclass(frozen=True, kw_only=True)
class GuardedLink:
    """A link of the user's own: whatever it raises or returns is one line that begins with `place`."""

    link: Link
    place: str

    def transfer_seconds(
        self, num_bytes: int, *, direction: Direction, partition_id: int, server_round: int, start_seconds: float
    ) -> float:
        """Return what the link returns; raises UserError unless that is a finite number from 0 up."""
        call = partial(
            self.link.transfer_seconds,
            num_bytes,
            direction=direction,
            partition_id=partition_id,
            server_round=server_round,
            start_seconds=start_seconds,
        )
        returned = guarded(self.place, "transfer_seconds", call)
        return returned_number(self.place, "transfer_seconds", returned, least=0.0)


def constant(bandwidth: str | float = "1MB/s", latency_seconds: float = 0.0) -> Link:
    """Make a link that is the same for every client; the default is that of the published study."""
    return per_client([bandwidth], latency_seconds)


def per_client(bandwidths: Sequence[str | float], latency_seconds: float = 0.0) -> Link:
    """Make a link with one bandwidth for each client: partition i has entry i, modulo the length of the list."""
    if isinstance(bandwidths, str) or not bandwidths:
        raise UserError(f"link: bandwidths is {bandwidths!r}, expected a list such as ['1MB/s', '8Mbit/s']")
    speeds = tuple(parse_bandwidth(bandwidth) for bandwidth in bandwidths)
    listed = ListedBandwidth(bytes_per_second=speeds)
    return BandwidthLink(bandwidth=listed, latency_seconds=check_latency(latency_seconds))


def asymmetric(
    down: Mapping[str, Any] | str | float,
    up: Mapping[str, Any] | str | float,
    latency_seconds: float = 0.0,
    seed: int = 0,
    base_folder: str = ".",
) -> Link:
    """Make a link of two: down and up are each a bandwidth, or a table with the name and options of a link.

    Both draw from the same seed, so a client that is fast in one direction is fast in the other; a `seed` in one of the
    tables makes the draws independent. Raises UserError if an entry does not name a link.
    """
    return AsymmetricLink(
        down=_one_way("down", down, seed, base_folder),
        up=_one_way("up", up, seed, base_folder),
        latency_seconds=check_latency(latency_seconds),
    )


def make_link(
    name: str,
    options: Mapping[str, Any],
    *,
    seed: int,
    base_folder: str,
    name_key: str = "link.name",
    options_key: str = "link.options",
) -> Link:
    """Make a link by its name; a link that takes `seed` or `base_folder` gets these, unless options set them.

    `name_key` and `options_key` are the places named in errors. Raises UserError if the link does not exist, does not
    take the options, or cannot carry a message.
    """
    found = resolve(name, LINKS, Path(base_folder))
    known = with_known(found, options, seed=seed, base_folder=base_folder)
    link, place = call_with_options(found, known, options_key), f"{name_key} = '{name}'"
    if not isinstance(link, Link):
        raise UserError(f"{place}: the object it returns has no transfer_seconds")
    _check_signature(link, place)
    return link if name in LINKS else GuardedLink(link=link, place=place)


def check_latency(latency_seconds: float) -> float:
    """Return a latency unchanged; raises UserError unless it is a number from 0 up."""
    if not is_number(latency_seconds) or not 0 <= latency_seconds <= _MOST_LATENCY_SECONDS:
        most = f"{_MOST_LATENCY_SECONDS:g}"
        raise UserError(f"link: latency_seconds is {short(latency_seconds)}, expected a number from 0 up, to {most}")
    return latency_seconds


def _check_signature(link: Link, place: str) -> None:
    keys = {"direction": "down", "partition_id": 0, "server_round": 1, "start_seconds": 0.0}
    try:
        inspect.signature(link.transfer_seconds).bind(0, **keys)
    except TypeError as error:
        raise UserError(
            f"{place}: transfer_seconds must take num_bytes and, by keyword, {', '.join(keys)}: {error}"
        ) from error


def _one_way(direction: Direction, link: Mapping[str, Any] | str | float, seed: int, base_folder: str) -> Link:
    if not isinstance(link, Mapping):
        return constant(link)
    key, options = f"link.options.{direction}", dict(link)
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise UserError(f"{key} names no link: expected a table such as {{ name = 'constant', bandwidth = '1MB/s' }}")
    return make_link(name, options, seed=seed, base_folder=base_folder, name_key=f"{key}.name", options_key=key)
