"""The work of a sweep: decide which cells are trained, resumed or repriced, in parallel or in sequence."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Literal, Protocol

from fedlab.common.clock import pause
from fedlab.common.machine import activation_room_bytes, usable_cores
from fedlab.common.scratch import scratch_folder
from fedlab.compare.grouping import identity_of
from fedlab.config.run_tables import OWN_RAY
from fedlab.config.schema import Experiment
from fedlab.errors import InterruptedRunError, UserError
from fedlab.reprice.reprice import billing_key, reprice, why_not
from fedlab.results.folder import RunFolder
from fedlab.results.recorder import writer_of
from fedlab.simulation.engine.own_ray import own_ray
from fedlab.sweep.file import Sweep, SweepCell
from fedlab.sweep.folder import CellState, SweepFolder, cell_progress
from fedlab.sweep.processes import reason_of

_POLL_SECONDS = 0.5  # for another process to end

CellAction = Literal["train", "resume", "reprice"]


class Processes(Protocol):
    """Runs `fedlab` as processes (`fedlab.sweep.processes.CellProcesses`)."""

    @property
    def stopped(self) -> bool:
        """Tell whether `stop` was called."""

    def run(self, words: Sequence[str], on_round: Callable[[int], None]) -> tuple[int, list[str]]:
        """Run `fedlab` with these arguments; return its exit code and its last lines of output."""

    def stop(self) -> None:
        """End all running processes."""


class SweepObserver(Protocol):
    """Receives the events of a sweep, from several threads."""

    def on_plan(self, cells: Sequence[CellState], trainings: int) -> None:
        """Receive the states of the cells, and the number of cells to train."""

    def on_start(self, cell: str, how: CellAction, rounds: int | None) -> None:
        """Receive that a cell starts, and its number of rounds."""

    def on_round(self, cell: str, server_round: int) -> None:
        """Receive that a cell has finished a round."""

    def on_end(self, state: CellState) -> None:
        """Receive the final state of a cell."""

    def on_message(self, text: str) -> None:
        """Receive a message for the user."""


class SweepWork:
    """Runs the unfinished cells of a sweep: families of cells in parallel, the cells of a family in sequence."""

    def __init__(
        self,
        sweep: Sweep,
        folder: SweepFolder,
        observers: Sequence[SweepObserver],
        *,
        parallel: int,
        repricing: bool,
        processes: Processes,
    ) -> None:
        self._sweep, self._folder, self._observers = sweep, folder, observers
        self._parallel = parallel
        self._processes = processes
        self._lock = Lock()
        self._ray_address: str | None = None
        self._families = families(sweep.cells, repricing=repricing)
        self._begun = {cell.name: cell_progress(folder, cell) for cell in sweep.cells}
        self.states = {
            name: _finished(folder, name) if begun == "finished" else CellState(name=name, status="waiting")
            for name, begun in self._begun.items()
        }

        self._shared = {
            data for data, cells in self._waiting().items() if cells > 1
        }  # data of several cells, whose activations are shared

    def run(self) -> None:
        """Run the unfinished cells, `parallel` families at a time.

        Raises:
            RunFailedError: the sweep was interrupted.
        """
        todo = [family for family in self._families if any(not self._is_done(cell) for cell in family)]
        trainings = sum(self._trainings(family) for family in todo)
        self._write()
        for observer in self._observers:
            observer.on_plan(list(self.states.values()), trainings)
        try:
            with _shared_ray(trainings, self._sweep.cells) as self._ray_address:
                self._run_families(todo)
        finally:
            self._folder.drop_activations()

    def _run_families(self, todo: Sequence[Sequence[SweepCell]]) -> None:
        with ThreadPoolExecutor(self._parallel) as pool:
            futures = [pool.submit(self._run_family, family) for family in todo]
            try:
                for future in as_completed(futures):
                    future.result()
            except KeyboardInterrupt as interrupt:
                self._stop(pool)
                done = sum(map(self._is_done, self._sweep.cells))
                raise InterruptedRunError(
                    f"interrupted: {done} of {len(self._sweep.cells)} cells are done; run the same command to resume"
                ) from interrupt
            except BaseException:
                self._stop(pool)
                raise

    def _stop(self, pool: ThreadPoolExecutor) -> None:
        pool.shutdown(wait=False, cancel_futures=True)
        self._processes.stop()

    def _run_family(self, family: Sequence[SweepCell]) -> None:
        """Run cells that differ only in boards and links: one is trained, the others are repriced from it."""
        source = next((cell for cell in family if self._is_done(cell)), None)
        for cell in family:
            if self._is_done(cell):
                continue
            state = self._repriced(cell, source) or self._trained(cell)
            if self._processes.stopped:
                return  # an interrupted cell is still unfinished
            self._note(state)
            source = cell if source is None and state.status == "finished" else source

    def _repriced(self, cell: SweepCell, source: SweepCell | None) -> CellState | None:
        """Reprice a cell, if possible."""
        if source is None or self._begun[cell.name] != "absent":
            return None
        for observer in self._observers:
            observer.on_start(cell.name, "reprice", None)
        try:
            reprice(self._folder.run(source.name), cell.experiment, self._folder.run(cell.name).path)
        except UserError as error:
            for observer in self._observers:
                observer.on_message(f"{cell.name}: cannot be repriced and is trained: {error}")
            return None
        return CellState(name=cell.name, status="finished", repriced_from=source.name)

    def _trained(self, cell: SweepCell) -> CellState:
        run, resumed = self._folder.run(cell.name), self._begun[cell.name] == "begun"
        self._await_writer(cell)
        for observer in self._observers:
            observer.on_start(cell.name, "resume" if resumed else "train", cell.experiment.rounds)

        def on_round(server_round: int) -> None:
            for observer in self._observers:
                observer.on_round(cell.name, server_round)

        with scratch_folder("sweep-") as scratch:
            what = ["--resume", str(run.path)] if resumed else self._new(cell, RunFolder(scratch))
            words = ["run", *what, "--quiet", *self._engine(cell.experiment)]
            code, said = self._processes.run(words, on_round)
        log = self._folder.log(cell.name)
        if code == 0:
            log.unlink(missing_ok=True)
            return CellState(name=cell.name, status="finished")
        if not self._processes.stopped:
            self._folder.write(log.name, "\n".join(said))
        return CellState(name=cell.name, status="failed", reason=reason_of(said, code))

    def _await_writer(self, cell: SweepCell) -> None:
        """Wait until no other process writes a cell's run: one of a sweep that was killed ends at its next round."""
        told = False
        while (writer := writer_of(self._folder.run(cell.name))) and not self._processes.stopped:
            if not told:
                for observer in self._observers:
                    observer.on_message(f"{cell.name}: {writer} is still writing this run: waiting until it has ended")
            told = True
            pause(_POLL_SECONDS)

    def _new(self, cell: SweepCell, scratch: RunFolder) -> list[str]:
        """Return the arguments of a new run; cells that run in parallel share the room for stored activations."""
        engine = cell.experiment.engine
        if self._parallel > 1 and engine.cache_bytes is None:
            room = activation_room_bytes(self._folder.path, sharers=self._parallel)
            engine = engine.model_copy(update={"cache_bytes": room})
        scratch.write_experiment(cell.experiment.model_copy(update={"engine": engine}))
        return [str(scratch.experiment), "--out", str(self._folder.run(cell.name).path)]

    def _engine(self, experiment: Experiment) -> list[str]:
        """Return the arguments that divide this machine among the cells that run in parallel."""
        engine = experiment.engine
        workers = engine.workers or max(1, usable_cores() // self._parallel)
        address = engine.cluster_address or self._ray_address
        # Said in any case: a cell that is resumed was begun on the Ray of a sweep that has ended.
        words = ["--workers", str(workers), "--ray-address", address or OWN_RAY]
        data = _data_key(experiment)
        if engine.activations is not None or data not in self._shared:
            return words
        return [*words, "--activations", str(self._folder.activations(data))]

    def _waiting(self) -> Counter[str]:
        """Count the unfinished cells by their data."""
        cells = self._sweep.cells
        return Counter(_data_key(cell.experiment) for cell in cells if self.states[cell.name].status == "waiting")

    def _is_done(self, cell: SweepCell) -> bool:
        return self.states[cell.name].status == "finished"

    def _trainings(self, family: Sequence[SweepCell]) -> int:
        """Estimate how many cells of a family have to be trained."""
        begun = [self._begun[cell.name] for cell in family]
        return max(begun.count("begun"), 0 if "finished" in begun else 1)

    def _note(self, state: CellState) -> None:
        with self._lock:
            self.states[state.name] = state
            self._write()
            for data in self._shared - set(self._waiting()):
                self._folder.drop_activations(data)
        for observer in self._observers:
            observer.on_end(state)

    def _write(self) -> None:
        self._folder.write_states(self._sweep.name, list(self.states.values()))


def families(cells: Sequence[SweepCell], *, repricing: bool) -> list[list[SweepCell]]:
    """Group cells that can be repriced from one another; other cells form groups of one."""
    found: dict[str, list[SweepCell]] = {}
    for cell in cells:
        alone = not repricing or why_not(cell.experiment) is not None
        found.setdefault(f"cell {cell.name}" if alone else billing_key(cell.experiment), []).append(cell)
    return list(found.values())


def _data_key(experiment: Experiment) -> str:
    """Return a key that is equal for experiments that can share stored activations."""
    table = experiment.model_dump(mode="json", include={"task", "backbone", "seed", "base_folder"})
    return hashlib.sha256(identity_of(table).encode()).hexdigest()


def _finished(folder: SweepFolder, name: str) -> CellState:
    summary = folder.run(name).summary() or {}
    source = summary.get("repriced_from")
    return CellState(name=name, status="finished", repriced_from=source and Path(source).name)


@contextmanager
def _shared_ray(trainings: int, cells: Sequence[SweepCell]) -> Iterator[str | None]:
    """Start one Ray for all cells, if several are to be trained and not all name their own; yield its address.

    Joining it is much faster than starting one for each cell, and each would keep its own object store.
    """
    if trainings < 2 or all(cell.experiment.engine.cluster_address for cell in cells):
        yield None
        return
    with own_ray(None) as own:
        yield own.address
