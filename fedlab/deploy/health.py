"""Whether a service of a deployment works, asked as those it serves would: `python -m fedlab.deploy.health KIND WHERE`.

KIND `superlink` asks for the list of runs, which takes its database; `gateway` asks for the SuperLink's health through
the gateway, and for what it must not let through; both are given an address, and `--ca FILE` where it is https.
`node` is given the node's folder, and says whether it has lately asked for work or has some. Exit code 0 if it works.
"""

import argparse
import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path

from fedlab.deploy.pulse import beats

_TIMEOUT_SECONDS = 10.0
_FOUND_NOWHERE = 404


def superlink_works(address: str, trust: ssl.SSLContext | None) -> bool:
    """Tell whether a SuperLink lists its runs; a message of no fields has no bytes."""
    return _status("POST", f"{address}/v1/control/list-runs", trust) == 200


def gateway_works(address: str, trust: ssl.SSLContext | None) -> bool:
    """Tell whether a gateway reaches its SuperLink, and keeps to itself what is not for nodes."""
    kept = _status("POST", f"{address}/v1/control/list-runs", trust) == _FOUND_NOWHERE
    return kept and _status("GET", f"{address}/health", trust) == 200


def main() -> None:
    """Exit with 0 if the service works, else with 1."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=("superlink", "gateway", "node"))
    parser.add_argument("where")
    parser.add_argument("--ca")
    said = parser.parse_args()
    trust = ssl.create_default_context(cafile=said.ca) if said.ca else None
    if said.kind == "node":
        works = beats(Path(said.where))
    else:
        works = (superlink_works if said.kind == "superlink" else gateway_works)(said.where, trust)
    sys.exit(0 if works else 1)


def _status(method: str, url: str, trust: ssl.SSLContext | None) -> int | None:
    """Return the status a server answers with, None if it does not answer."""
    headers = {"content-type": "application/protobuf"}
    request = urllib.request.Request(url, data=b"" if method == "POST" else None, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS, context=trust) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


if __name__ == "__main__":
    main()
