"""Naive loops as processes of their own: started once, they train and print the seconds for each line of input."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from fedlab.common.clock import stopwatch

_READY = "ready"


class Loops:
    """Processes of a loop, started once and measured repeatedly; clients are divided among them.

    `script` and its `words` are called with `--threads` and the `--clients` of a process, of the first `clients`. A
    round is of `of_a_round` clients, so measured seconds are scaled up to these. `results` are what the training of
    each client returned last.
    """

    results: Mapping[int, Any]

    def __init__(
        self, script: Path, words: Sequence[str], *, processes: int, threads: int, clients: int, of_a_round: int
    ) -> None:
        shares = [range(start, clients, processes) for start in range(min(processes, clients))]
        self._scale = -(-of_a_round // processes) / len(shares[0])
        self._processes = [_start(script, words, threads, share) for share in shares]
        for process in self._processes:
            assert _line(process) == _READY

    def seconds(self) -> float:
        """Return the seconds of a round, which ends with its busiest process."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        measured = [json.loads(_line(process)) for process in self._processes]
        self.results = {int(client): result for each in measured for client, result in each["results"].items()}
        return max(each["seconds"] for each in measured) * self._scale

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.communicate()


class ClientLoop(Protocol):
    """A loop as such a process has it."""

    def train_client(self, partition_id: int, /) -> float:
        """Train a client and return what is kept of it."""


def arguments_of_a_loop() -> argparse.ArgumentParser:
    """Return what all loops are called with; a loop adds its own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("experiment", type=Path)
    parser.add_argument("--set", dest="settings", action="append", default=[])
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--clients", type=int, nargs="+", required=True)
    return parser


def serve(arguments: argparse.Namespace, make: Callable[[argparse.Namespace], ClientLoop]) -> None:
    """Be such a process: train one client, so that all is loaded, and wait for lines of input."""
    torch.set_num_threads(arguments.threads)
    loop = make(arguments)
    loop.train_client(arguments.clients[0])
    _answer(loop.train_client, arguments.clients)


def _answer(train_client: Callable[[int], float], clients: Sequence[int]) -> None:
    """Say that all is ready; for each line of input train the clients, print seconds and results."""
    print(_READY, flush=True)
    for _ in sys.stdin:
        elapsed = stopwatch()
        results = {client: train_client(client) for client in clients}
        print(json.dumps({"seconds": elapsed(), "results": results}), flush=True)


def _start(script: Path, words: Sequence[str], threads: int, clients: Sequence[int]) -> subprocess.Popen[str]:
    command = [sys.executable, str(script), *words, "--threads", str(threads), "--clients", *map(str, clients)]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        sys.exit("a loop process ended early; its message is above")
    return line.strip()
