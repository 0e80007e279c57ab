"""TensorBoard: event files in the run's folder. Its time axis is the simulated one."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedlab.results.trackers.base import TrackedRun

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

_FOLDER = "tensorboard"
_FILE = "events.out.tfevents.{}.fedlab"


class TensorBoard:
    """Event files in the run's folder, tensorboard/: `tensorboard --logdir runs`.

    A step is a round. The wall time of an event is the simulated time in seconds, so TensorBoard's relative axis shows
    that. A resumed run writes a file that replaces all earlier ones: it is told of all rounds again.
    """

    def __init__(self) -> None:
        self._writer: RecordWriter | None = None

    def start(self, run: TrackedRun) -> int:
        """Note the run; its file is opened with the first round, as it replaces earlier ones."""
        self._run = run
        return 0

    def scalars(self, values: Mapping[str, float], *, server_round: int, simulated_seconds: float) -> None:
        """Write scalars."""
        # Imported here: only runs that are tracked need the package.
        from tensorboard.compat.proto.event_pb2 import Event  # noqa: PLC0415
        from tensorboard.compat.proto.summary_pb2 import Summary  # noqa: PLC0415

        summary = Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in values.items()])
        self._write(Event(step=server_round, wall_time=simulated_seconds, summary=summary))

    def event(self, text: str, *, server_round: int, simulated_seconds: float) -> None:
        """Write a line of text, under `events`."""
        self._text("events", text, server_round, simulated_seconds)

    def end(self, summary: Mapping[str, Any] | None, files: Sequence[Path]) -> None:
        """Close the file; those of the run are in its folder already."""
        if self._writer is not None:
            self._writer.close()

    def _text(self, tag: str, text: str, server_round: int, simulated_seconds: float) -> None:
        from tensorboard.compat.proto.event_pb2 import Event  # noqa: PLC0415
        from tensorboard.plugins.text.summary_v2 import text_pb  # noqa: PLC0415

        self._write(Event(step=server_round, wall_time=simulated_seconds, summary=text_pb(tag, text)))

    def _write(self, event: "Event") -> None:
        if self._writer is None:
            self._open()
        assert self._writer is not None
        self._writer.write(event.SerializeToString())
        self._writer.flush()

    def _open(self) -> None:
        """Open a file that replaces earlier ones, also in a TensorBoard that has read them, and write the keys."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # noqa: PLC0415
        from tensorboard.summary.writer.record_writer import RecordWriter  # noqa: PLC0415

        folder = self._run.folder / _FOLDER
        folder.mkdir(exist_ok=True)
        # Files are read in the order of their names. This one is written here and by no thread of its own, so that
        # what a full disk raises is raised here.
        earlier = sorted(folder.glob(_FILE.format("*")))
        number = int(earlier[-1].name.split(".")[-2]) + 1 if earlier else 0
        self._writer = RecordWriter((folder / _FILE.format(f"{number:010d}")).open("xb"))
        for path in earlier:
            path.unlink()
        self._write(Event(file_version="brain.Event:2"))
        self._write(Event(step=0, session_log=SessionLog(status=SessionLog.START)))
        keys = "\n".join(f"    {key} = {json.dumps(value)}" for key, value in self._run.settings.items())
        self._text("experiment", keys, 0, 0.0)
