import http.server
import subprocess
import sys
import threading

import pytest
from flwr.proto.control_pb2 import ListRunsResponse
from flwr.proto.run_pb2 import Run, RunStatus

from fedlab.deploy.node.health import gateway_works, pending_seconds, serverapp_works, superlink_works
from fedlab.deploy.node.heartbeat import write_heartbeat


@pytest.fixture
def server():
    """Return the address of a server that answers as told: `answers` maps method and path to a status or content."""
    answers = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self):
            said = answers.get((self.command, self.path), 404)
            self.send_response(200 if isinstance(said, bytes) else said)
            self.end_headers()
            self.wfile.write(said if isinstance(said, bytes) else b"")

        do_GET = do_POST = answer

        def log_message(self, *_):
            pass

    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{listening.server_address[1]}", answers
    listening.shutdown()
    listening.server_close()


def test_a_superlink_works_if_it_lists_its_runs(server):
    address, answers = server
    assert not superlink_works(address, None)
    answers["POST", "/v1/control/list-runs"] = 500
    assert not superlink_works(address, None)
    answers["POST", "/v1/control/list-runs"] = 200
    assert superlink_works(address, None)


def test_a_gateway_works_if_it_reaches_the_superlink_and_keeps_its_control_to_itself(server):
    address, answers = server
    answers["GET", "/health"] = 503
    assert not gateway_works(address, None)
    answers["GET", "/health"] = 200
    assert gateway_works(address, None)
    answers["POST", "/v1/control/list-runs"] = 200
    assert not gateway_works(address, None)


LIST_RUNS = ("POST", "/v1/control/list-runs")


def runs(*statuses):
    """Return a list of runs of noon, one of each status, as a SuperLink writes it a minute and a half later."""
    listed = {
        number: Run(run_id=number, pending_at="2025-03-31T12:00:00+00:00", status=RunStatus(status=status))
        for number, status in enumerate(statuses)
    }
    return ListRunsResponse(run_dict=listed, now="2025-03-31T12:01:30+00:00").SerializeToString()


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (runs(), 0.0),
        (runs("running", "finished"), 0.0),
        (runs("running", "pending"), 90.0),
        (500, None),
    ],
)
def test_a_run_that_nobody_takes_is_pending_for_ever_longer(server, said, seconds):
    address, answers = server
    answers[LIST_RUNS] = said
    assert pending_seconds(address, None) == seconds


def test_the_server_side_of_runs_works_if_it_takes_them_and_can_write_them(server, tmp_path):
    address, answers = server
    answers[LIST_RUNS] = runs("running", "finished")
    assert serverapp_works(address, None, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert not serverapp_works(address, None, tmp_path / "not-mounted")
    answers[LIST_RUNS] = runs("running", "pending")
    assert not serverapp_works(address, None, tmp_path)
    answers[LIST_RUNS] = 500
    assert not serverapp_works(address, None, tmp_path)


def test_the_exit_code_says_whether_the_server_side_works(server, tmp_path):
    address, answers = server
    command = [sys.executable, "-m", "fedlab.deploy.node.health", "serverapp", address, "--runs", str(tmp_path)]
    answers[LIST_RUNS] = runs("running")
    assert subprocess.run(command, check=False).returncode == 0
    answers[LIST_RUNS] = runs("pending")
    assert subprocess.run(command, check=False).returncode == 1


def test_nobody_at_the_address_is_not_healthy():
    assert not superlink_works("http://127.0.0.1:9", None)


def test_the_exit_code_says_whether_a_node_works(tmp_path):
    command = [sys.executable, "-m", "fedlab.deploy.node.health", "node", str(tmp_path)]
    assert subprocess.run(command, check=False).returncode == 1
    write_heartbeat(tmp_path)
    assert subprocess.run(command, check=False).returncode == 0
