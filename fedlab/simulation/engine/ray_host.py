"""The process that starts a Ray on this machine, says where it is, and ends with it when its input ends.

It is not the run's own, so that Ray starts while that one imports and prepares, and so that Ray ends at once.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import IO, Any

from fedlab.common.short_text import raised


def start(folder: Path, cores: int) -> str:
    """Start a Ray with its files in a folder, and return its address.

    What `ray.init` starts besides, to watch the cluster, its logs and its use, takes a third of the time; where this
    version of Ray has no place to leave it out, it is started.
    """
    import ray  # noqa: PLC0415  (what goes wrong here is an answer, too)

    try:
        return _start_lean(folder, cores)
    except (ImportError, AttributeError, TypeError):
        ray.init(
            address="local",
            num_cpus=cores,
            include_dashboard=False,
            _temp_dir=str(folder),
            log_to_driver=False,
            logging_level="ERROR",
        )
        return str(ray.get_runtime_context().gcs_address)


def _start_lean(folder: Path, cores: int) -> str:
    from ray._private.authentication.authentication_token_setup import ensure_token_if_auth_enabled  # noqa: PLC0415
    from ray._private.node import Node  # noqa: PLC0415
    from ray._private.parameter import RayParams  # noqa: PLC0415

    class LeanNode(Node):  # type: ignore[misc]  # ray has no types
        def start_api_server(self, **_: Any) -> None:
            """Start none: without a dashboard, all it does is to report the use of Ray to its makers."""

    ensure_token_if_auth_enabled({}, create_token_if_missing=True)
    parameters = RayParams(
        num_cpus=cores,
        include_dashboard=False,
        dashboard_host="127.0.0.1",
        temp_dir=str(folder),
        no_monitor=True,
        include_log_monitor=False,
    )
    node = LeanNode(ray_params=parameters, head=True, shutdown_at_exit=False, spawn_reaper=True, ray_init_cluster=True)
    return str(node.gcs_address)


def host(folder: Path, cores: int) -> dict[str, Any]:
    """Start a Ray; return its address, or what the system or Ray says against it."""
    try:
        return {"address": start(folder, cores)}
    except Exception as error:  # Ray raises plain ones, too
        number = error.errno if isinstance(error, OSError) else None  # such as a full disk
        place = str(error.filename) if isinstance(error, OSError) and error.filename else None
        return {"error": raised(error), "errno": number, "filename": place}


def channel_of_answers() -> IO[str]:
    """Return the channel of answers, which is the output, and leave the terminal's signals to the other process."""
    for each in (signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # nothing else writes there, nor holds it open
    return answers


def main() -> None:
    """Write the answer as one line of JSON, and wait for the end of the input."""
    with channel_of_answers() as answers:
        answers.write(json.dumps(host(Path(sys.argv[1]), int(sys.argv[2]))) + "\n")
    sys.stdin.read()
    os._exit(0)  # the system ends the processes that this one has started


if __name__ == "__main__":
    main()
