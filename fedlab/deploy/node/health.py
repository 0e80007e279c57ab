"""Health check of one service of a deployment: `python -m fedlab.deploy.node.health KIND WHERE`.

WHERE is an address, with `--ca FILE` for https, or the folder of a node. The exit code is 0 if the service works. KIND:

superlink   lists its runs, which reads its database
gateway     forwards the SuperLink's health, and refuses a call that is not for nodes
serverapp   takes submitted runs soon, and can write to the folder of `--runs`
node        has a valid heartbeat: it has asked for work lately, or is at work
"""

import argparse
import ssl
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from fedlab.common.clock import seconds_between
from fedlab.deploy.node.heartbeat import is_alive

_TIMEOUT_SECONDS = 10.0
_FOUND_NOWHERE = 404
_LONGEST_PENDING_SECONDS = 60.0  # the serverapp process asks for runs every few seconds


def superlink_works(address: str, trust: ssl.SSLContext | None) -> bool:
    """Tell whether a SuperLink lists its runs; the request message has no fields, so its body is empty."""
    return _status("POST", f"{address}/v1/control/list-runs", trust) == 200


def gateway_works(address: str, trust: ssl.SSLContext | None) -> bool:
    """Tell whether a gateway reaches its SuperLink, and refuses calls that are not for nodes."""
    kept = _status("POST", f"{address}/v1/control/list-runs", trust) == _FOUND_NOWHERE
    return kept and _status("GET", f"{address}/health", trust) == 200


def serverapp_works(address: str, trust: ssl.SSLContext | None, runs: Path) -> bool:
    """Tell whether submitted runs are taken soon, and the folder of runs is writable."""
    pending = pending_seconds(address, trust)
    return pending is not None and pending < _LONGEST_PENDING_SECONDS and _can_write(runs)


def pending_seconds(address: str, trust: ssl.SSLContext | None) -> float | None:
    """Return how long the oldest pending run has waited, 0 without pending runs, None if the SuperLink fails.

    The time is that of the SuperLink's clock; it lists its latest runs only.
    """
    # Imported here: the other checks run every few seconds and do not need Flower.
    from flwr.proto.control_pb2 import ListRunsResponse  # noqa: PLC0415

    status, content = _answer("POST", f"{address}/v1/control/list-runs", trust)
    if status != 200:
        return None
    listed = ListRunsResponse.FromString(content)
    waiting = [run for run in listed.run_dict.values() if run.status.status == "pending"]
    return max((seconds_between(run.pending_at, listed.now) for run in waiting), default=0.0)


def main() -> None:
    """Exit with 0 if the service works, else with 1."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=("superlink", "gateway", "serverapp", "node"))
    parser.add_argument("where")
    parser.add_argument("--ca")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    said = parser.parse_args()
    trust = ssl.create_default_context(cafile=said.ca) if said.ca else None
    checks = {
        "superlink": lambda: superlink_works(said.where, trust),
        "gateway": lambda: gateway_works(said.where, trust),
        "serverapp": lambda: serverapp_works(said.where, trust, said.runs),
        "node": lambda: is_alive(Path(said.where)),
    }
    sys.exit(0 if checks[said.kind]() else 1)


def _can_write(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"0")
    except OSError:
        return False
    return True


def _status(method: str, url: str, trust: ssl.SSLContext | None) -> int | None:
    """Return the HTTP status of a request, None if the server does not answer."""
    return _answer(method, url, trust)[0]


def _answer(method: str, url: str, trust: ssl.SSLContext | None) -> tuple[int | None, bytes]:
    """Return the HTTP status and the body of a request; the status is None if the server does not answer."""
    headers = {"content-type": "application/protobuf"}
    request = urllib.request.Request(url, data=b"" if method == "POST" else None, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS, context=trust) as answer:
            return int(answer.status), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, b""
    except OSError:
        return None, b""


if __name__ == "__main__":
    main()
