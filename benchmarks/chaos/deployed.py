"""Runs on a SuperLink and SuperNodes whose processes are killed."""

import importlib.util
import json
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from outcome import Outcome
from processes import kill
from simulated import write_texts

ROOT = Path(__file__).parents[2]
KINDS = ("SuperNode", "SuperLink", "server app")
_NODES, _ROUNDS = 2, 4
_LIMIT_SECONDS = 900.0  # of one run
_REPLY_SECONDS = 90.0  # a silent node drops out of its round; more than a slow machine takes for a reply
_SUBMITTED_SECONDS = 60.0  # that a server app may take to start
_KILLS = 6  # of one run, at most
_LOSSES_KNOWN = 5  # tries to get a run with the same losses
# A killed node loses its work of a round. The run must then equal one in which the same work is refused.
_CLIENT = '''
"""The built-in client, whose work is refused in the given rounds: 10 * round + partition."""

from flwr.clientapp import ClientApp

from clients.adapter import adapter
from fedlab.messages.orders import read_order


def losing(*, losses, **options) -> ClientApp:
    app, inner = ClientApp(), adapter(**options)

    @app.train()
    def train(message, context):
        reply = inner(message, context)
        if 10 * read_order(message).server_round + context.node_config["partition-id"] in losses:
            reply.content["metrics"]["num-examples"] = 10**15
        return reply

    app.query()(inner)
    return app
'''


def _lab_module() -> Any:
    """Return the module with which the tests of deployments start a SuperLink and nodes."""
    spec = importlib.util.spec_from_file_location("lab", ROOT / "tests" / "deployment" / "lab.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its data class is looked up
    spec.loader.exec_module(module)
    return module


@dataclass(kw_only=True)
class Deployed:
    """Runs in a folder, on one SuperLink with two nodes; `draws` chooses the moments of kills."""

    folder: Path
    draws: random.Random
    begun: int = 0
    run_seconds: float = 0.0
    expected: dict[frozenset[int], str] = field(default_factory=dict)  # digest by losses
    lab: Any = None

    def prepare(self) -> None:
        """Start everything, and run to the end without a kill."""
        write_texts(self.folder / "texts.csv")
        (self.folder / "losing.py").write_text(_CLIENT)
        module = _lab_module()
        self.lab = module.Lab(folder=self.folder, words=f"task.data={self.folder / 'texts.csv'} {module.SMALL}")
        self.lab.start_link("--isolation", "process")
        self.lab.start_apps()
        for number in range(_NODES):
            self._join(number)
        began = time.monotonic()
        self._reference(frozenset())
        self.run_seconds = time.monotonic() - began

    def disturbed(self, targets: list[str]) -> Outcome:
        """Run until done, with kills of the first targets, which are taken from the list as they are hit."""
        self.begun += 1
        name, began, hits = f"deployed-{self.begun}", time.monotonic(), list[str]()
        submitted, moment = self._submit(name), self._moment()
        while not self._done(name) and time.monotonic() < began + _LIMIT_SECONDS:
            time.sleep(0.2)
            if targets and len(hits) < _KILLS and time.monotonic() > moment and self._hit(targets[0]):
                hits.append(targets.pop(0))
                moment = self._moment()
            elif time.monotonic() > submitted + _SUBMITTED_SECONDS and not self.lab.server_apps():
                submitted = self._submit(name)
        seconds, resumed = time.monotonic() - began, self._done(name)
        fault = self._fault(name) if resumed else f"has not ended after {seconds:.0f} s:\n{self.lab.logs()}"
        return Outcome(name=name, kills=tuple(hits), resumed=resumed, fault=fault, seconds=seconds)

    def close(self) -> None:
        """End everything."""
        if self.lab is not None:
            self.lab.stop()

    def _moment(self) -> float:
        return time.monotonic() + self.draws.uniform(0, self.run_seconds)

    def _hit(self, target: str) -> bool:
        """Kill a process and start it again; tell whether it was there. The server app is started by a submission."""
        if target == "server app":
            apps = self.lab.server_apps()
            for pid in apps:
                kill(pid)
            return bool(apps)
        number = self.draws.randrange(_NODES)
        name = "superlink" if target == "SuperLink" else f"node-{number}"
        kill(self.lab.processes[name].pid)
        self.lab.processes[name].wait()
        self._wait(lambda: not self.lab.members(name), 10.0)  # what it has started ends by itself
        self.lab.kill(name)
        if target == "SuperLink":
            self.lab.start_link("--isolation", "process")
        else:
            self._join(number)
        return True

    def _join(self, number: int) -> None:
        self.lab.join(number, "--partition", f"{number}/{_NODES}", "--insecure")

    def _submit(self, run: str, losses: frozenset[int] = frozenset()) -> float:
        """Submit a run and return when; a SuperLink that was just killed may not accept it yet."""
        settings = (
            f"rounds={_ROUNDS} strategy.name=fedavg strategy.options={{clients_per_round={_NODES},min_replies=1}}"
            f" client.name={self.folder}/losing.py:losing client.options.losses={sorted(losses)}".replace(", ", ",")
        )
        self.lab.submit(settings, run=run, nodes=_NODES, **{"reply-seconds": _REPLY_SECONDS})
        return time.monotonic()

    def _done(self, run: str) -> bool:
        return (self.folder / "runs" / run / "summary.json").exists()

    def _losses(self, run: str) -> frozenset[int]:
        """Return whose work a run lost, also because a node was not asked while it was away."""
        records = self.lab.records(run, "clients.jsonl")
        used = {10 * each["server_round"] + each["partition_id"] for each in records if each["error"] is None}
        return frozenset(10 * at + node for at in range(1, _ROUNDS + 1) for node in range(_NODES)) - used

    def _digest(self, run: str) -> str:
        return str(json.loads((self.folder / "runs" / run / "summary.json").read_text())["arrays_digest"])

    def _fault(self, run: str) -> str | None:
        losses = self._losses(run)
        found, expected = self._digest(run), self._reference(losses)
        return None if found == expected else f"{found} is not {expected}, where {sorted(losses)} were lost"

    def _reference(self, losses: frozenset[int]) -> str:
        """Return the digest of a run without kills in which the same work is refused."""
        for number in range(_LOSSES_KNOWN):
            if losses in self.expected:
                break
            name = "-".join(("alone", *map(str, sorted(losses)), f"try{number}"))
            self._submit(name, losses)
            self._wait(lambda name=name: self._done(name), _LIMIT_SECONDS)
            self.expected[self._losses(name)] = self._digest(name)  # a slow machine may lose more
        return self.expected[losses]

    @staticmethod
    def _wait(holds: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not holds():
            time.sleep(0.2)
