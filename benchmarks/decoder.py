"""Compare the speed of a round of LoRA on a decoder with the obvious loop, in one run on one machine.

    python benchmarks/decoder.py [--quick] [--json FILE] [--stories FOLDER] [--shape NAME] [--depths 4 30]

The work of a round: 6 clients train LoRA of rank 8 on q and v in the top blocks for 10 batches of 4 texts of 64 tokens,
with AdamW, on the loss of the response: 4 words at the end of a text, one token each in SmolLM2's shape. The models are
stories260K (skipped, with a line, where its folder is not there) and SmolLM2-135M's shape with random weights. The
methods are measured in turn:

loop       transformers and PEFT in one process with as many threads as cores (`decoder_loop.py`): a client loads the
           LoRA, and each of its batches runs the whole model; with --quick two clients are measured, and scaled to six
fedlab     a steady round of `fedlab run`, from order to checkpoint, in which clients find the states that enter the
           lowest trained block in the activation store

The first round computes these states, once a text. Its additional seconds are `fill_seconds`; they are spread over the
rounds of a run, and are not a part of a steady round. Both do the same work: the mean loss of each measured client in
the first round must agree to 0.001, or the exit code is 1. bfloat16 is compared with the loop in float32, and is only
measured where the processor multiplies it faster.
"""

import argparse
import json
import platform
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from loops import Loops
from rich.console import Console
from rich.table import Table
from steady_run import Engine, steady_run

from fedlab.common.machine import usable_cores
from fedlab.common.prepared_cache import cache_folder
from fedlab.config.file import load_experiment
from fedlab.config.schema import Experiment
from fedlab.models.export.peft_library import save_lora
from fedlab.models.load import sizes_of
from fedlab.models.peft.base import ModelSizes
from fedlab.models.peft.lora import Lora
from fedlab.models.precision import bfloat16_is_faster
from fedlab.training.activation_store import ActivationStore
from fedlab.training.bundle import bundle_for, open_bundle, pretrained_of

HERE = Path(__file__).parent
CLIENTS, BATCHES, BATCH, TOKENS, RANK, RESPONSE = 6, 10, 4, 64, 8, 4
DEEP = 8  # blocks above which a round takes a minute
TOLERANCE = 1e-3  # of mean losses, after steps whose rounding differs
WORDS = tuple(f"{first}{second}" for first in "bdfgklmnprst" for second in ("a", "e", "i", "o", "u"))
STORIES = HERE.parent.parent / "shared" / "models" / "stories260k"
NOT_FASTER = "this processor does not multiply bfloat16 faster than float32"
EXPERIMENT = """
name = "decoder"
rounds = 1
seed = 3

[task]
data = "."
kind = "prompt"
template = "{{prompt}} "
max_length = {tokens}
new_tokens = 1
partition = {{ scheme = "iid", clients = {clients} }}

[backbone]
name = "{model}"

[client]
trains = "lora"
depth = {depth}
axes = {{ rank = {rank}, alpha = 16, targets = "q,v" }}
start = "start-{depth}"
options = {{ optimizer = "adamw", learning_rate = 0.002, batch_size = {batch} }}

[strategy]
name = "fedavg"
options = {{ clients_per_round = {clients} }}
"""


@dataclass(frozen=True, kw_only=True)
class Row:
    """The results for one model and depth: median seconds of a round, and medians of pairwise ratios."""

    model: str
    depth: int
    scored_tokens: int  # of a text: those whose loss counts
    loop_seconds: float
    fedlab_seconds: float
    fedlab_bf16_seconds: float | None
    fill_seconds: float  # of the busiest actor, in the first round
    speedup: float
    speedup_bf16: float | None
    bf16_is_left_out: str | None  # why
    loss: float  # of a client in the first round, the mean over those measured
    largest_difference: float  # of these losses between the loop and fedlab
    workers: int
    peak_bytes: int  # of all processes of fedlab, shared pages once
    actors_peak_bytes: int  # of the actors alone


def measure(experiment: Path, model: str, depth: int, *, repeats: int, rounds: int, clients: int, workers: int) -> Row:
    """Measure the loop and fedlab in turn, `repeats` times."""
    loops, engines, narrow = [], list[Engine](), list[Engine]()
    losses: Mapping[int, float] = {}
    words = [str(experiment), "--start", str(experiment.parent / f"start-{depth}")]
    faster = bfloat16_is_faster("cpu")
    for _ in range(repeats):
        loop = Loops(
            HERE / "decoder_loop.py",
            words,
            processes=1,
            threads=usable_cores(),
            clients=clients,
            of_a_round=CLIENTS,
        )
        loops.append(loop.seconds())
        losses = loop.results
        loop.close()
        engines.append(steady_run(experiment, [], rounds, workers=workers))
        narrow += [steady_run(experiment, ["backbone.precision=bf16"], rounds, workers=workers)] if faster else []
    last = engines[-1]
    return Row(
        model=model,
        depth=depth,
        scored_tokens=scored_tokens(experiment),
        loop_seconds=statistics.median(loops),
        fedlab_seconds=_seconds(engines),
        fedlab_bf16_seconds=_seconds(narrow) if faster else None,
        fill_seconds=last.busiest_fill_seconds,
        speedup=_ratio(loops, engines),
        speedup_bf16=_ratio(loops, narrow) if faster else None,
        bf16_is_left_out=None if faster else NOT_FASTER,
        loss=statistics.mean(losses.values()),
        largest_difference=max(abs(loss - last.losses[client]) for client, loss in losses.items()),
        workers=workers,
        peak_bytes=max(each.peak_bytes for each in engines),
        actors_peak_bytes=max(each.actors_peak_bytes for each in engines),
    )


def scored_tokens(experiment: Path) -> int:
    """Return how many tokens of a text count in the loss, on average, rounded up."""
    scratch = cache_folder() / "benchmark"
    bundle = bundle_for(load_experiment(experiment), scratch)
    scored = open_bundle(bundle, ActivationStore(folder=scratch, budget_bytes=0)).scored_tokens("train")
    assert scored is not None, "the backbone is a decoder"
    return scored


def write_work(folder: Path, model: str, depth: int) -> Path:
    """Write the texts, the LoRA to begin with and the experiment file of a depth to a folder; return the file."""
    for split, count in (("train", CLIENTS * BATCHES * BATCH), ("validation", 4), ("test", 4)):
        draws = np.random.default_rng(len(split))
        lines = [json.dumps(_example(draws)) for _ in range(count)]
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    file = folder / f"depth-{depth}.toml"
    file.write_text(EXPERIMENT.format(model=model, depth=depth, clients=CLIENTS, tokens=TOKENS, rank=RANK, batch=BATCH))
    _write_start(folder / f"start-{depth}", load_experiment(file), depth)
    return file


def _write_start(folder: Path, experiment: Experiment, depth: int) -> None:
    """Write pairs of which neither matrix is zero, so that all have gradients from the first step on."""
    model = pretrained_of(experiment).model
    trained = Lora(depth=depth, rank=RANK, targets="q,v")
    sizes = ModelSizes(encoder=sizes_of(model), labels=0)
    draws = np.random.default_rng(depth)
    arrays = {
        name: draws.uniform(-0.04, 0.04, shape).astype(np.float32) for name, shape in trained.shapes(sizes).items()
    }
    save_lora(arrays, trained, folder, model=model, head={}, kind="prompt", label_names=())


def _example(draws: np.random.Generator) -> dict[str, str]:
    prompt, response = (" ".join(draws.choice(WORDS, size)) for size in (TOKENS, RESPONSE))
    return {"prompt": prompt, "response": response}


def _seconds(engines: Sequence[Engine]) -> float:
    return statistics.median(statistics.median(each.rounds) for each in engines)


def _ratio(loops: Sequence[float], engines: Sequence[Engine]) -> float:
    return statistics.median(loop / statistics.median(each.rounds) for loop, each in zip(loops, engines, strict=True))


def main() -> None:
    """Measure, print a table and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="once, with two clients of the loop: under 10 minutes")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--stories", type=Path, default=STORIES, help="the folder of stories260K")
    parser.add_argument("--shape", default="smollm2-135m-random", help="the larger model: a name or a folder")
    parser.add_argument("--depths", type=int, nargs="+", default=[4, 30], help="of the larger model")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=min(CLIENTS, usable_cores()))
    arguments = parser.parse_args()
    rows = []
    for model, depth in _plan(arguments.stories, arguments.shape, arguments.depths):
        with tempfile.TemporaryDirectory() as folder:
            row = measure(
                write_work(Path(folder), model, depth),
                Path(model).name,
                depth,
                repeats=1 if arguments.quick else arguments.repeats,
                rounds=1 if arguments.quick and depth > DEEP else 3,
                clients=2 if arguments.quick else CLIENTS,
                workers=arguments.workers,
            )
        rows.append(row)
        show(row)
    if arguments.json:
        machine = {"processor": platform.processor() or platform.machine(), "cores": usable_cores()}
        arguments.json.write_text(json.dumps({"machine": machine, "rows": [asdict(row) for row in rows]}, indent=2))
    if any(row.largest_difference > TOLERANCE for row in rows):
        sys.exit("the loop and fedlab have not computed the same losses")


def _plan(stories: Path, shape: str, depths: Sequence[int]) -> list[tuple[str, int]]:
    if not stories.is_dir():
        sys.stderr.write(f"stories260K is skipped: there is no folder {stories}; --stories names another\n")
        return [(shape, depth) for depth in depths]
    return [(str(stories.resolve()), depth) for depth in (2, 5)] + [(shape, depth) for depth in depths]


def show(row: Row) -> None:
    """Print the figures of a model and depth."""
    table = Table(title=f"{row.model}, depth {row.depth}: seconds a round (median)")
    for column in ("", "seconds", "fedlab is faster"):
        table.add_column(column, justify="right" if column else "left")
    table.add_row("loop", f"{row.loop_seconds:.2f}", "")
    table.add_row("fedlab", f"{row.fedlab_seconds:.3f}", f"{row.speedup:.1f} x")
    if row.speedup_bf16 is not None:
        table.add_row("fedlab bf16", f"{row.fedlab_bf16_seconds:.3f}", f"{row.speedup_bf16:.1f} x")
    console = Console()
    console.print(table)
    if row.bf16_is_left_out is not None:
        console.print(f"bfloat16 is not measured: {row.bf16_is_left_out}")
    console.print(
        f"frozen states take {row.fill_seconds:.1f} s of the first round; peak memory of {row.workers} actors "
        f"{row.actors_peak_bytes / 1e9:.2f} GB, with the driver {row.peak_bytes / 1e9:.2f} GB; "
        f"losses of {row.loss:.3f} agree to {row.largest_difference:.1e}"
    )


if __name__ == "__main__":
    main()
