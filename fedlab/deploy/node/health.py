"""Health check of one service of a deployment: `python -m fedlab.deploy.node.health KIND WHERE`.

KIND `superlink` asks for the list of runs, which takes its database; `gateway` asks for the SuperLink's health through
the gateway, and for what it must not let through; `serverapp` asks the SuperLink whether runs wait for somebody to take
them, and writes to the folder of `--runs`. All are given an address, and `--ca FILE` where it is https. `node` is given
the node's folder, and says whether it has lately asked for work or has some. Exit code 0 if it works.
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
_LONGEST_PENDING_SECONDS = 60.0  # who takes runs asks for some every few seconds


def superlink_works(address: str, trust: ssl.SSLContext | None) -> bool:
    """Tell whether a SuperLink lists its runs; a message of no fields has no bytes."""
    return _status("POST", f"{address}/v1/control/list-runs", trust) == 200


def gateway_works(address: str, trust: ssl.SSLContext | None) -> bool:
    """Tell whether a gateway reaches its SuperLink, and keeps to itself what is not for nodes."""
    kept = _status("POST", f"{address}/v1/control/list-runs", trust) == _FOUND_NOWHERE
    return kept and _status("GET", f"{address}/health", trust) == 200


def serverapp_works(address: str, trust: ssl.SSLContext | None, runs: Path) -> bool:
    """Tell whether runs are taken soon after they are submitted, and can be written where they are to be."""
    pending = pending_seconds(address, trust)
    return pending is not None and pending < _LONGEST_PENDING_SECONDS and _can_write(runs)


def pending_seconds(address: str, trust: ssl.SSLContext | None) -> float | None:
    """Return for how long the oldest run that nobody has taken has waited, 0 if there is none.

    None if the SuperLink does not say. Its own clock tells, and of its runs it lists the latest.
    """
    # Imported here: the other checks, of every few seconds, do without Flower.
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
    """Return the status a server answers with, None if it does not answer."""
    return _answer(method, url, trust)[0]


def _answer(method: str, url: str, trust: ssl.SSLContext | None) -> tuple[int | None, bytes]:
    """Return what a server answers, and its status, None if it does not answer."""
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
