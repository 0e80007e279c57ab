import http.server
import subprocess
import sys
import threading

import pytest

from fedlab.deploy.health import gateway_works, superlink_works
from fedlab.deploy.pulse import beat


@pytest.fixture
def server():
    """Return the address of a server that answers as told: `answers` maps method and path to a status."""
    answers = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self):
            self.send_response(answers.get((self.command, self.path), 404))
            self.end_headers()

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


def test_nobody_at_the_address_is_not_healthy():
    assert not superlink_works("http://127.0.0.1:9", None)


def test_the_exit_code_says_whether_a_node_works(tmp_path):
    command = [sys.executable, "-m", "fedlab.deploy.health", "node", str(tmp_path)]
    assert subprocess.run(command, check=False).returncode == 1
    beat(tmp_path, "waiting")
    assert subprocess.run(command, check=False).returncode == 0
