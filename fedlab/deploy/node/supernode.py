"""Flower's SuperNode with measured and optionally throttled traffic: the process that `fedlab client` becomes.

A client app runs in a process of its own without network access; the SuperNode has the network. This module replaces
the private functions of flwr with which a SuperNode connects, retries and starts its client apps; like
`fedlab/messages/flower_private.py` it depends on the versions of flwr that are tested.
"""

import argparse
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

from flwr.app import Message, MessageType
from flwr.supernode import fleet_http_connection, start_client_internal
from flwr.supernode.cli.flower_supernode import flower_supernode

from fedlab.common.clock import stopwatch
from fedlab.deploy.connection_errors import is_refusal, reason_of
from fedlab.deploy.node.heartbeat import clear_heartbeat, write_heartbeat
from fedlab.deploy.node.journal import Download, Journal, write_journal
from fedlab.deploy.node.throttle import Rates, start_relay
from fedlab.messages.measurements import Upload

_Reason = Callable[[BaseException | None], str | None]
_END_SECONDS = 5.0  # the process that starts client apps ends at once, unless it hangs


class TransferMeter:
    """Counts transferred bytes, and the seconds in which at least one transfer was under way."""

    def __init__(self, now_seconds: Callable[[], float]) -> None:
        self.seconds = 0.0
        self.num_bytes = 0
        self._now_seconds = now_seconds
        self._lock = threading.Lock()
        self._under_way = 0
        self._since = 0.0

    @contextmanager
    def moving(self) -> Iterator[None]:
        """Count the time of the block; several threads may transfer at the same time."""
        with self._lock:
            self._since = self._since if self._under_way else self._now_seconds()
            self._under_way += 1
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= 1
                self.seconds += 0.0 if self._under_way else self._now_seconds() - self._since


class MeteredConnection:
    """The connection of a SuperNode, with the transfer time of each order and each reply noted in a journal.

    An order's time is that of the request that found it and the requests for its arrays, without the polls before. A
    reply's time is that of all its requests. Replies to queries are too small to measure a bandwidth.
    """

    def __init__(
        self,
        connection: tuple[Any, ...],
        note: Callable[[Journal], None],
        *,
        heartbeat: Callable[[float | None], None] = lambda lasts_seconds: None,
        now_seconds: Callable[[], float] | None = None,
    ) -> None:
        # The order of flwr 1.41 and 1.42.
        self._node, self._receive, self._send, self._get_run, self._get_fab = connection[:5]
        self._pull_object, self._push_object, self._confirm = connection[5:]
        self._note = note
        self._heartbeat = heartbeat
        self._now_seconds = now_seconds or stopwatch()
        self._journal = Journal()
        self._down, self._up = TransferMeter(self._now_seconds), TransferMeter(self._now_seconds)
        self._sends = False
        self._order_seconds = 0.0

    def parts(self) -> tuple[Any, ...]:
        """Return the connection in the form that the SuperNode expects."""
        plain = (self._get_run, self._get_fab)
        return (self._node, self.receive, self.send, *plain, self.pull_object, self.push_object, self.confirm)

    def receive(self) -> Any:
        """Ask for an order, after the last reply has been sent."""
        self._settle()
        self._heartbeat(None)
        self._down = TransferMeter(self._now_seconds)
        with self._down.moving():
            received = self._receive()
        if received is not None:
            self._order_seconds = received[0].metadata.ttl
        return received

    def pull_object(self, run_id: int, object_id: str) -> bytes:
        """Fetch one object of an order."""
        with self._down.moving():
            content: bytes = self._pull_object(run_id, object_id)
        self._down.num_bytes += len(content)
        return content

    def confirm(self, run_id: int, message_id: str) -> None:
        """Confirm that an order has arrived, and note its transfer."""
        with self._down.moving():
            self._confirm(run_id, message_id)
        self._heartbeat(self._order_seconds)
        seconds, num_bytes = self._down.seconds, self._down.num_bytes
        download = Download(message_id=message_id, num_bytes=num_bytes, seconds=seconds)
        self._journal = replace(self._journal, download=download)
        self._note(self._journal)

    def send(self, message: Message, *rest: Any) -> Any:
        """Send the head of a reply; `push_object` sends its content."""
        self._sends = message.metadata.message_type != MessageType.QUERY and not message.has_error()
        self._up = TransferMeter(self._now_seconds)
        with self._up.moving():
            return self._send(message, *rest)

    def push_object(self, run_id: int, session_id: str, object_id: str, content: bytes) -> None:
        """Send one object of a reply."""
        with self._up.moving():
            self._push_object(run_id, session_id, object_id, content)
        self._up.num_bytes += len(content)

    def _settle(self) -> None:
        if self._sends and self._up.num_bytes:
            upload = Upload(num_bytes=self._up.num_bytes, seconds=self._up.seconds)
            self._journal = replace(self._journal, upload=upload)
            self._note(self._journal)
        self._sends = False


def main() -> NoReturn:
    """Run a SuperNode that keeps a journal, then exit at once: some threads of Flower would keep the process alive."""
    code = run()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def run() -> int:
    """Run a SuperNode by the command line and return the exit code; words after `--` are for `flower-supernode`.

    The last line of output is the reason for the end, which Flower's own messages do not name.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--superlink", required=True)
    parser.add_argument("--up", type=float, help="bytes per second")
    parser.add_argument("--down", type=float, help="bytes per second")
    at = sys.argv.index("--")
    own, words = parser.parse_args(sys.argv[1:at]), sys.argv[at + 1 :]
    server = _throttled_address(own.superlink, Rates(up_bytes_per_second=own.up, down_bytes_per_second=own.down))
    sys.argv[1:] = ["--superlink", server, *words]
    ca = words[words.index("--root-certificates") + 1] if "--root-certificates" in words else None
    reason = partial(reason_of, ca=ca, insecure="--insecure" in words)
    clear_heartbeat(own.journal.parent)
    _keep_journal(own.journal)
    _explain_retries(own.superlink, reason)
    with _ending_children():
        code, line = _outcome(flower_supernode, own.superlink, reason)
    _say(line)
    return code


def _outcome(work: Callable[[], None], server: str, reason: _Reason) -> tuple[int, str]:
    """Run a SuperNode; return the exit code and the last line of output."""
    try:
        work()
    except SystemExit as end:
        why = reason(end.__context__)
        # Flower exits with 0 if the server tells it to, also when the server no longer accepts the node.
        if why is not None and (end.code or is_refusal(end.__context__)):
            return 1, f"{server}: {why}"
        if isinstance(end.code, str):
            return 1, end.code
        return end.code or 0, ""
    except Exception as error:
        sys.stderr.write(traceback.format_exc())
        return 1, f"the node failed: {type(error).__name__}: {error}"
    # Flower logs why the connection ended and leaves a process that does not ask for more work.
    return 1, f"{server}: the connection ended, see the log above: start the node again"


def _say(line: str) -> None:
    if line:
        sys.stderr.write(f"fedlab: {' '.join(line.split())}\n")


def _explain_retries(server: str, reason: _Reason) -> None:
    """Print why requests are retried, each reason once until the server answers; Flower only prints that they are."""
    make = vars(fleet_http_connection)["make_simple_http_retry_invoker"]

    def explaining() -> Any:
        invoker = make()
        failed, succeeded = invoker.on_backoff, invoker.on_success
        said: set[str] = set()

        def on_backoff(state: Any) -> None:
            why = reason(state.exception) or f"{state.exception}"
            if why not in said:
                said.add(why)
                _say(f"{server}: {why}; retrying until it answers")
            failed(state)

        def on_success(state: Any) -> None:
            said.clear()
            succeeded(state)

        invoker.on_backoff, invoker.on_success = on_backoff, on_success
        return invoker

    vars(fleet_http_connection)["make_simple_http_retry_invoker"] = explaining


@contextmanager
def _ending_children() -> Iterator[None]:
    """End the processes that Flower starts, so that nothing is printed or left running after the end."""
    children: list[subprocess.Popen[bytes]] = []

    def start(command: list[str]) -> None:
        children.append(subprocess.Popen(command))

    vars(start_client_internal)["subprocess"] = SimpleNamespace(Popen=start)
    try:
        yield
    finally:
        for child in children:
            child.terminate()
            with suppress(subprocess.TimeoutExpired):
                child.wait(_END_SECONDS)


def _throttled_address(server: str, rates: Rates) -> str:
    """Return the address of a throttling relay to the server, or the server's own address without throttling."""
    if rates == Rates():
        return server
    host, _, port = server.rpartition(":")
    return f"127.0.0.1:{start_relay(host.strip('[]'), int(port), rates)}"


def _keep_journal(path: Path) -> None:
    connect = vars(start_client_internal)["http_request_response"]

    @contextmanager
    def metered(*words: Any) -> Iterator[tuple[Any, ...]]:
        with connect(*words) as connection:
            note, heartbeat = partial(write_journal, path), partial(write_heartbeat, path.parent)
            yield MeteredConnection(connection, note, heartbeat=heartbeat).parts()

    vars(start_client_internal)["http_request_response"] = metered


if __name__ == "__main__":
    main()
