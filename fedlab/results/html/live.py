"""A run's page on loopback, made again when the run folder has changed."""

import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from fedlab.common.short_text import raised
from fedlab.errors import UserError
from fedlab.results.folder import RECORD_FILES, RunFolder
from fedlab.results.html.render import LiveState, render_body, render_page
from fedlab.results.html.run_page import run_page
from fedlab.results.html.run_records import read_run

LOOPBACK = "127.0.0.1"
POLL_SECONDS = 2.0  # of the page in the browser

_NAMES = ("localhost", LOOPBACK)


class LivePage:
    """The page of a run that may still go on; it is made when it is asked for, once for each state of the folder."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._lock = threading.Lock()  # requests come in threads
        self._made: dict[str, tuple[str, str]] = {}

    def state(self) -> str:
        """Return what changes with the files that the page is made from."""
        names = (*RECORD_FILES, self._folder.summary_file.name, self._folder.data.name, self._folder.experiment.name)
        return "-".join(_mark(self._folder, name) for name in names)

    def whole(self) -> str:
        """Return the whole page. Raises `UserError` as `read_run`."""
        return self._text("whole")

    def body(self) -> str:
        """Return its sections and their data. Raises `UserError` as `read_run`."""
        return self._text("body")

    def _text(self, part: str) -> str:
        with self._lock:
            state = self.state()  # before reading: what is written meanwhile is a new state
            known, text = self._made.get(part, ("", ""))
            if known != state:
                live = LiveState(state=state, seconds=POLL_SECONDS)
                render = render_page if part == "whole" else render_body
                text = render(run_page(read_run(self._folder)), live)
                self._made[part] = (state, text)
            return text


class LiveServer(ThreadingHTTPServer):
    """Serves a page on loopback alone: `/`, `/body` with what may change, and `/state`."""

    daemon_threads = True

    def __init__(self, page: LivePage, port: int) -> None:
        """Take the port, a free one for 0. Raises `UserError` if it cannot be had."""
        self.page = page
        try:
            super().__init__((LOOPBACK, port), _Handler)
        except OSError as error:
            said = f"--port {port}: cannot be had: {error.strerror}; choose another, or leave --port out for a free one"
            raise UserError(said) from error

    @property
    def address(self) -> str:
        """The address of the page."""
        return f"http://{LOOPBACK}:{self.server_address[1]}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that has gone."""


class _Handler(BaseHTTPRequestHandler):
    server: LiveServer

    def do_GET(self) -> None:
        """Answer a request of a page from this machine."""
        if self.headers.get("Host", "").rpartition(":")[0] not in _NAMES:  # another site's name for this address
            self._answer(HTTPStatus.FORBIDDEN, "text/plain", "only on loopback")
            return
        page = self.server.page
        routes = {
            "/": ("text/html", page.whole),
            "/body": ("text/html", page.body),
            "/state": ("text/plain", page.state),
        }
        kind, make = routes.get(self.path, ("", None))
        if make is None:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", f"expected one of {', '.join(routes)}")
            return
        try:
            self._answer(HTTPStatus.OK, kind, make())
        except UserError as error:
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", str(error))
        except OSError as error:  # such as a folder that was removed
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", raised(error))

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: the browser asks every other second."""

    def _answer(self, status: HTTPStatus, kind: str, text: str) -> None:
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)


def _mark(folder: RunFolder, name: str) -> str:
    try:
        found = (folder.path / name).stat()
    except OSError:
        return "0"
    return f"{found.st_mtime_ns:x}.{found.st_size:x}"
