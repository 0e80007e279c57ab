"""Kill processes of small runs at random moments, resume until all are done, and compare with runs left alone.

    make chaos N=100
    python benchmarks/chaos [--kills 100] [--seed 0] [--kinds driver,actor,cell]

Each kill is a `kill -9` of one process: the driver of a simulated run, one of its actors, a cell of a sweep, or, of a
deployed run, a SuperNode, the SuperLink or the server app. A run that has ended before the moment came is done, and
another one is begun. All runs must end with the digests of a run that was left alone, and leave no file or process
behind. A killed SuperNode loses its work of a round; such a run is compared with one in which the same work is refused.
A hundred kills take an hour and a half on two cores.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import deployed
import simulated
from outcome import Outcome, table
from processes import kill, working_in

KINDS = (*simulated.RUNS, *simulated.SWEEPS, *deployed.KINDS)
_END_SECONDS = 30.0  # the processes of a run that was killed end by themselves, or the next run ends them
_LEFT = ("fedlab-*", "*/tmp/fedlab-*")


def planned(kills: int, kinds: Sequence[str], draws: random.Random) -> list[str]:
    """Return the kinds of all kills in a random order, each kind as often as the others."""
    plan = [kinds[number % len(kinds)] for number in range(kills)]
    draws.shuffle(plan)
    return plan


def run_stage(stage: Any, targets: list[str], tell: Callable[[str], None]) -> list[Outcome]:
    """Disturb run after run of a stage until all targets are hit."""
    outcomes: list[Outcome] = []
    if not targets:
        return outcomes
    stage.folder.mkdir()
    try:
        stage.prepare()
        tell(f"{stage.folder.name}: left alone: done")
        while targets:
            outcomes.append(stage.disturbed(targets))
            tell(outcomes[-1].line())
    finally:
        if hasattr(stage, "close"):
            stage.close()
    return outcomes


def left_in(folder: Path) -> list[str]:
    """Return what is left of runs that have ended: temporary folders, and processes, which are ended."""
    deadline = time.monotonic() + _END_SECONDS
    while (processes := working_in(folder)) and time.monotonic() < deadline:
        time.sleep(0.5)
    for pid in processes:
        kill(pid)
    files = [str(path.relative_to(folder)) for pattern in _LEFT for path in folder.glob(pattern)]
    return [*files, *(f"process {pid}" for pid in processes)]


def chaos(kills: int, kinds: Sequence[str], seed: int, tell: Callable[[str], None]) -> bool:
    """Kill as often as asked, tell of it, and return whether all is as it must be."""
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    plan = planned(kills, kinds, random.Random(seed))
    stages = [
        (simulated.Simulated(folder=folder / "run", draws=random.Random(seed), is_sweep=False), simulated.RUNS),
        (simulated.Simulated(folder=folder / "sweep", draws=random.Random(seed), is_sweep=True), simulated.SWEEPS),
        (deployed.Deployed(folder=folder / "lab", draws=random.Random(seed)), deployed.KINDS),
    ]
    with ThreadPoolExecutor(len(stages)) as pool:
        works = [pool.submit(run_stage, stage, [each for each in plan if each in own], tell) for stage, own in stages]
    outcomes = [outcome for work in works for outcome in work.result()]
    left = left_in(folder)
    tell(table(outcomes, kinds))
    tell(f"left behind: {', '.join(left) or 'nothing'}")
    good = not left and all(each.fault is None for each in outcomes)
    if good:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        tell(f"the runs are in {folder}")
    return good


def main() -> None:
    """Read the command line; exit with 1 if a run differs or something is left behind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", type=lambda text: text.split(","), default=KINDS, help=f"of {', '.join(KINDS)}")
    said = parser.parse_args()
    if unknown := [kind for kind in said.kinds if kind not in KINDS]:
        parser.error(f"--kinds {','.join(unknown)}: accepted: {', '.join(KINDS)}")
    began = time.monotonic()

    def tell(line: str) -> None:
        sys.stdout.write(f"[{time.monotonic() - began:5.0f} s] {line}\n" if "\n" not in line else f"{line}\n")
        sys.stdout.flush()

    sys.exit(0 if chaos(said.kills, said.kinds, said.seed, tell) else 1)


if __name__ == "__main__":
    main()
