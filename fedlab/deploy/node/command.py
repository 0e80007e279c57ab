"""A node of a deployment, as this machine starts it: Flower's SuperNode with our settings."""

import hashlib
import json
import platform
import shlex
import ssl
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from fedlab.common.files import check_regular
from fedlab.config.plugins import nearest
from fedlab.deploy.net import parse_address
from fedlab.devices.profile import built_in_profiles
from fedlab.errors import UserError
from fedlab.messages.node_config import NodeConfig, Value

DEFAULT_PORT = 8000
_IDS = 2**31  # of nodes that are given none
# What Flower does unless told not to: call home, look for updates, install packages for every run.
_QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
}


@dataclass(frozen=True, kw_only=True)
class NodeSettings:
    """What a node is and where it finds its server.

    It trains on the file or folder at `data`, or on part `partition[0]` of `partition[1]` of the experiment's data.
    `number` tells it from other nodes. What it keeps lies below `state`. Without a `key` it is `insecure`: nothing is
    encrypted, and anybody can pass for it. It sends and receives no faster than its rates, if it has any.
    """

    server: str
    state: Path
    number: int
    data: Path | None = None
    partition: tuple[int, int] | None = None
    board: str = ""
    key: Path | None = None
    ca: Path | None = None
    insecure: bool = False
    up_bytes_per_second: float | None = None
    down_bytes_per_second: float | None = None

    @property
    def journal(self) -> Path:
        """Where the SuperNode notes its traffic."""
        return self.state / "journal.json"


def check(settings: NodeSettings) -> None:
    """Refuse what cannot work, or is less safe than the words say.

    Raises:
        UserError: what is wrong, and what is accepted.
    """
    if (settings.data is None) == (settings.partition is None):
        raise UserError("give --data PATH, or --partition I/N for a part of the experiment's own data, and not both")
    if settings.data is not None and not settings.data.exists():
        raise UserError(f"--data {settings.data}: no such file or folder")
    if settings.insecure and (settings.key or settings.ca):
        raise UserError("--insecure is for a server without TLS: --key and --ca cannot be given with it")
    if not settings.insecure and settings.key is None:
        raise UserError("--key KEY is missing: the node's key, which the server knows; or say --insecure")
    for option, path in (("--key", settings.key), ("--ca", settings.ca)):
        if path is not None and not path.is_file():
            raise UserError(f"{option} {path}: no such file")
    if settings.key is not None:
        _check_key(settings.key)
    if settings.ca is not None:
        _check_authority(settings.ca)
    if settings.board and settings.board not in built_in_profiles():
        raise UserError(f"--board {settings.board!r}: no such board; {nearest(settings.board, built_in_profiles())}")


def address_of(server: str) -> str:
    """Return a server's address with its port; Flower's own is 8000. Raises UserError if it is none."""
    return parse_address(server, option="--server", default_port=DEFAULT_PORT)


def number_of(data: Path) -> int:
    """Return a number for a node with this data on this machine: the same whenever it is started again."""
    text = f"{platform.node()}:{data.resolve()}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % _IDS


def command(settings: NodeSettings, *, port: int) -> list[str]:
    """Return the words that start the SuperNode; `port` is where its client apps find it on this machine."""
    words = [sys.executable, "-m", "fedlab.deploy.node.supernode", "--journal", str(settings.journal)]
    words += ["--superlink", settings.server]
    for option, rate in (("--up", settings.up_bytes_per_second), ("--down", settings.down_bytes_per_second)):
        words += [] if rate is None else [option, str(rate)]
    words += ["--", "--host", "127.0.0.1", "--port", str(port), "--node-config", _node_config(settings)]
    if settings.insecure:
        words.append("--insecure")
    if settings.key is not None:
        words += ["--auth-supernode-private-key", str(settings.key)]
    if settings.ca is not None:
        words += ["--root-certificates", str(settings.ca)]
    return words


def environment(settings: NodeSettings, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a node: all it keeps lies below its state, and nothing calls home unless asked to."""
    kept = {"FLWR_HOME": str(settings.state / "flwr"), "FEDLAB_CACHE": str(settings.state / "cache")}
    # Flower starts others of its commands by name.
    path = {"PATH": f"{Path(sys.executable).parent}:{inherited.get('PATH', '')}"}
    return {**_QUIET, **kept, **inherited, **path}


def _node_config(settings: NodeSettings) -> str:
    config = NodeConfig(
        partition_id=settings.number,
        num_partitions=None if settings.partition is None else settings.partition[1],
        data_path="" if settings.data is None else str(settings.data.resolve()),
        state_path=str(settings.state),
        journal_path=str(settings.journal),
        board=settings.board,
    )
    return " ".join(f"{key}={_toml(value)}" for key, value in config.mapping().items())


def _toml(value: Value) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    if any(mark in value for mark in "\"'\\\n"):
        raise UserError(f"{shlex.quote(value)}: quotes and backslashes cannot be handed to Flower")
    return f'"{value}"'


def _check_key(path: Path) -> None:
    """Read a node's key as Flower does, which says less of what is wrong."""
    check_regular(path)
    try:
        content = path.read_bytes()
        key = load_ssh_private_key(content, None)
    except OSError as error:
        raise UserError(f"--key {path}: cannot be read: {error.strerror}") from error
    except TypeError as error:
        raise UserError(f"--key {path}: is protected by a passphrase, which a node cannot be asked for") from error
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        public = content.startswith(b"ecdsa-") and path.suffix == ".pub"
        hint = f"this is the public half: give {path.with_suffix('')}" if public else "`fedlab deploy keys` makes them"
        raise UserError(f"--key {path}: not a node's private key; {hint}")


def _check_authority(path: Path) -> None:
    check_regular(path)
    try:
        ssl.create_default_context(cafile=str(path))
    except OSError as error:
        raise UserError(f"--ca {path}: not a certificate; expected the ca.pem of the server's keys") from error
