"""Start, find and stop the session of this user on this machine; nothing here imports Ray."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress

from fedlab.common.clock import pause, stopwatch
from fedlab.common.machine import usable_cores
from fedlab.common.scratch import remove_leftovers
from fedlab.errors import RunFailedError, UserError
from fedlab.simulation.engine.own_ray import ROOT, host_command, require_token, set_ray_options
from fedlab.simulation.session.identity import differences, identity
from fedlab.simulation.session.record import Found, SessionRecord, find, forget

_PATIENCE_SECONDS, _POLL_SECONDS = 20.0, 0.05  # until a session that was told to end is killed
_AGAIN = "fedlab session stop, then fedlab session start"


def usable_session(tell: Callable[[str], None]) -> SessionRecord | None:
    """Return the session that a run of this process can use; if there is one that it cannot use, tell why."""
    found = find()
    if found is None:
        return None
    if not found.alive:
        forget()
        tell("the session has died, and this run starts its own Ray; fedlab session start begins a new one")
        return None
    if found.record is None:
        tell("the session is still starting, and this run starts its own Ray")
        return None
    set_ray_options()
    if different := differences(identity(), found.record.identity):
        names = ", ".join(different)
        tell(f"the session is not used, because it was started with another value of: {names}; {_AGAIN}")
        return None
    return found.record


def start_session() -> SessionRecord:
    """Start a session and return its record when its actors are ready; if one runs already, return that.

    Raises:
        UserError: a session runs that runs of this process could not use, or this system cannot have one.
        RunFailedError: the session does not start.
    """
    if not hasattr(os, "pidfd_open"):
        raise UserError("a session needs Linux: on other systems its actors would outlive a run that is killed")
    remove_leftovers()
    set_ray_options()
    require_token()
    own, found = identity(), find()
    if found is not None and found.alive:
        return _running(found, own)
    host = subprocess.Popen(
        host_command("fedlab.simulation.session.host"),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
    )
    said = _exchange(host, json.dumps({"cores": usable_cores(), "identity": own}))
    started = find()
    if said or started is None or started.record is None:
        raise RunFailedError(f"the session does not start: {said or 'its process was ended'}")
    return started.record


def _exchange(host: "subprocess.Popen[str]", question: str) -> str:
    assert host.stdin is not None
    assert host.stdout is not None
    with suppress(BrokenPipeError):
        host.stdin.write(question + "\n")
        host.stdin.close()
    line = host.stdout.readline()
    host.stdout.close()
    return str(json.loads(line).get("error", "")) if line else "its process was ended"


def _running(found: Found, own: dict[str, str]) -> SessionRecord:
    if found.record is None:
        raise UserError("a session is starting; try again in a moment")
    if different := differences(own, found.record.identity):
        raise UserError(f"a session runs that was started with another value of: {', '.join(different)}; {_AGAIN}")
    return found.record


def stop_session() -> bool:
    """End the session and everything in it; return False if there is none."""
    found = find()
    if found is None or found.record is None or not found.alive:
        forget()
        return False
    with suppress(ProcessLookupError):
        os.kill(found.record.process_id, signal.SIGTERM)
    elapsed = stopwatch()
    while (left := find()) is not None and left.alive:
        if elapsed() > _PATIENCE_SECONDS:
            with suppress(ProcessLookupError):
                os.kill(found.record.process_id, signal.SIGKILL)
            forget()
            break
        pause(_POLL_SECONDS)
    remove_leftovers()
    return True
