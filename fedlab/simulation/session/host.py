"""The process of a session: starts its Ray and its stock of actors, writes its record, and waits for SIGTERM."""

import json
import os
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from fedlab.common.scratch import end_processes_in, scratch_folder, short_parent
from fedlab.common.short_text import raised
from fedlab.simulation.engine.own_ray import FOLDER_OF_RAY, JOINING, LONGEST_PARENT
from fedlab.simulation.engine.ray_host import channel_of_answers, start
from fedlab.simulation.session.record import SessionRecord, claimed, write


def main() -> None:
    """Read cores and identity as JSON, and answer by a line of JSON when the session is ready; then serve it."""
    answers = channel_of_answers()
    asked = json.loads(sys.stdin.readline())
    with claimed() as place:
        if place is None:
            _answer(answers, error="another session has started meanwhile")
            return
        with scratch_folder("ray-", parent=short_parent(LONGEST_PARENT)) as folder:
            try:
                _serve(place, folder, asked, answers)
            finally:
                end_processes_in([folder])
    os._exit(0)  # at once: all that it kept is gone


def _serve(place: IO[str], folder: Path, asked: Mapping[str, Any], answers: IO[str]) -> None:
    os.environ[FOLDER_OF_RAY] = f"{folder}/"
    try:
        address = start(folder, asked["cores"])
        _stock(address, asked["cores"])
    except Exception as error:  # Ray raises plain ones, too
        _answer(answers, error=raised(error))
        return
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: ended.set())
    joining = {name: os.environ[name] for name in JOINING if name in os.environ}
    record = SessionRecord(
        process_id=os.getpid(), address=address, cores=asked["cores"], identity=asked["identity"], joining=joining
    )
    write(place, record)
    _answer(answers)
    ended.wait()


def _stock(address: str, cores: int) -> None:
    import ray  # noqa: PLC0415  (what goes wrong here is an answer, too)

    from fedlab.simulation.session.stock import open_stock  # noqa: PLC0415

    ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    open_stock(cores)


def _answer(answers: IO[str], **said: str) -> None:
    with answers:
        answers.write(json.dumps(said) + "\n")
