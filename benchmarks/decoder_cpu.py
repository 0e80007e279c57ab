"""Compare the work of `decoder.py` by CPU seconds of one thread, in one process: for a machine that others use, too.

    python benchmarks/decoder_cpu.py [--depths 4 30] [--shape NAME] [--batches 10] [--repeats 3]

In turn, a client of the obvious loop and a pack of three clients of fedlab's engine train the same batches, and the
least CPU seconds of a client's batch are compared. The states that enter the lowest trained block are stored before.
The driver, which `decoder.py` measures as well, is left out, and so is how well the loop's threads share its work.
"""

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import process_time

import torch
from decoder import write_work
from decoder_loop import DecoderLoop

from clients.partition import examples_for
from fedlab.common.seeds import generator
from fedlab.models.export.peft_library import read_lora
from fedlab.training.activation_store import ActivationStore
from fedlab.training.sgd_stacked import Trainee, train_together

PACK = 3  # the 6 clients of a round, on two actors
TOLERANCE = 1e-3  # of mean losses, after steps whose rounding differs
_ROOM = 10**9


def compare(folder: Path, shape: str, depth: int, *, batches: int, repeats: int) -> tuple[float, float, float]:
    """Return the least CPU seconds of a client's batch, of the loop and of fedlab, and how far their losses differ."""
    file = write_work(folder, shape, depth)
    loop = DecoderLoop(file, [], file.parent / f"start-{depth}")
    loop.settings = replace(loop.settings, max_batches=batches)
    ours = _engine(loop, folder / "states")
    theirs, mine, difference = [], [], 0.0
    ours()  # which stores the states
    for _ in range(repeats):
        seconds, loss = _timed(lambda: loop.train_client(0))
        theirs.append(seconds / batches)
        seconds, own = _timed(ours)
        mine.append(seconds / batches / PACK)
        difference = max(difference, abs(loss - own))
    return min(theirs), min(mine), difference


def _engine(loop: DecoderLoop, states: Path) -> Callable[[], float]:
    """Return the training of a pack; it returns the mean loss of its first client."""
    states.mkdir()
    bench = replace(loop.bench, activations=ActivationStore(folder=states, budget_bytes=_ROOM))
    trained, start = read_lora(loop.start, bench.network.sizes(0), "the LoRA to begin with")

    def train() -> float:
        trainees = [
            Trainee(examples=examples_for(bench, each, trained), generator=generator(bench.seed, "batches", 1, each))
            for each in range(PACK)
        ]
        return train_together(bench.network, trainees, start, loop.settings)[0].loss

    return train


def _timed(train: Callable[[], float]) -> tuple[float, float]:
    before = process_time()
    loss = train()
    return process_time() - before, loss


def main() -> None:
    """Compare at each depth and print a line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depths", type=int, nargs="+", default=[4, 30])
    parser.add_argument("--shape", default="smollm2-135m-random", help="the model: a name or a folder")
    parser.add_argument("--batches", type=int, default=10, help="of a client; it loads its LoRA once for them")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for depth in arguments.depths:
        with tempfile.TemporaryDirectory() as folder:
            theirs, mine, difference = compare(
                Path(folder), arguments.shape, depth, batches=arguments.batches, repeats=arguments.repeats
            )
        print(
            f"depth {depth}: loop {theirs:.3f}, fedlab {mine:.3f} CPU seconds a batch, a ratio of {theirs / mine:.2f}; "
            f"losses agree to {difference:.1e}",
            flush=True,
        )
        assert difference < TOLERANCE, "the loop and fedlab have not computed the same losses"


if __name__ == "__main__":
    main()
