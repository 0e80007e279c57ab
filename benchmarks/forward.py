"""Compare the probes a second of the forward client with the obvious loop, in one run on one machine.

    python benchmarks/forward.py [--quick] [--json FILE] [--depths 2 6] [--repeats 3] [--precision int8] [--no-run]

The work: MiniLM and adapters of width 8 in the top d of 6 blocks; 10 clients with one batch of 8 texts, as long as
those of AG News (41 tokens, at most 64); 10 two-sided probes each. The two ways are measured in turn, repeated, and
compared pair by pair:

obvious   the adapters library's model, its trained weights perturbed in place by w + h v, then w - h v, two `no_grad`
          passes of each batch, with as many threads as cores
fedlab    `fedlab.training.probes.Probing`, from the batches' frozen states, with as many threads as cores; `frozen
          states` are the seconds that computing these states took, once for all probes and rounds of these texts; its
          frozen weights have the `precision` asked for (the loop's are always float32)
overhead  the share of a round of `fedlab run` with these clients and probes that is not the work of its busiest actor
          (median of 10 rounds; not with --no-run)

`directions` is the share of fedlab's seconds that is not passes: making the directions and the copies along them.
"""

import argparse
import json
import platform
import statistics
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from library_model import library_model
from rich.console import Console
from rich.table import Table
from steady_run import steady_run

from fedlab.common.clock import stopwatch
from fedlab.common.machine import usable_cores
from fedlab.config.file import experiment_from
from fedlab.gradients.estimators import Differences
from fedlab.gradients.vectors import flat, layout_of
from fedlab.models.base import TokenIds
from fedlab.models.load import encoder_of, load_pretrained
from fedlab.models.peft.bottleneck import Bottleneck, initial_arrays
from fedlab.models.split import Network
from fedlab.training.local import TrainingExamples
from fedlab.training.probes import Batches, Probe, Probing
from fedlab.workload.passes import Precision

BASELINE: Precision = "fp32"
H = 0.01
BATCH, CLIENTS, PROBES = 8, 10, 10
TOKENS, MEAN_TOKENS = 64, 41
LABELS = ("World", "Sports", "Business", "Sci/Tech")
RUN = (
    f"task.partition.clients={CLIENTS}",
    f"task.max_length={TOKENS}",
    "task.limit=2000",
    "evaluation.test_every=0",
    f"client={{ name = 'forward', width = 8, options = {{ batch_size = {BATCH} }} }}",
    "strategy.name=fwdllm",
    f"strategy.options={{ clients_per_round = {CLIENTS}, probes = {PROBES}, pacing = 'none' }}",
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """What was measured at a depth: probes a second, each of two passes; the median of the ratios of pairs."""

    depth: int
    precision: Precision
    obvious: float
    fedlab: float
    speedup: float
    frozen_seconds: float
    parameters: int
    directions: float
    overhead: float | None


class Work:
    """Clients with a batch each, and a model of a depth, for both ways."""

    def __init__(self, depth: int, precision: Precision = BASELINE) -> None:
        backbone = experiment_from({"rounds": 1}, "forward").backbone
        pretrained = load_pretrained(backbone, seed=0, resolve=Path, texts=lambda: iter(())).model
        self.network = Network(encoder=encoder_of(pretrained, precision), kind="classification", pooling="cls")
        self.trained, shape = Bottleneck(depth=depth, width=8), self.network.encoder.shape
        self.arrays = initial_arrays(
            self.trained,
            blocks=shape.blocks,
            hidden=shape.hidden,
            labels=len(LABELS),
            generator=np.random.default_rng(0),
        )
        self.model = library_model(
            pretrained, self.arrays, self.trained, kind="classification", label_names=LABELS, pooling="cls"
        )
        self.model.train_adapter("fedlab")
        self.model.eval()  # no dropout
        draws = np.random.default_rng(1)
        lengths = np.clip(draws.normal(MEAN_TOKENS, 12, (CLIENTS, BATCH)).round(), 10, TOKENS).astype(np.int64)
        ids = draws.integers(1000, 20_000, (CLIENTS, BATCH, TOKENS))
        self.ids, self.lengths = torch.from_numpy(ids), torch.from_numpy(lengths)
        self.labels = torch.from_numpy(draws.integers(0, len(LABELS), (CLIENTS, BATCH)))
        elapsed = stopwatch()
        self.batches = self._batches()
        self.frozen_seconds = elapsed()

    def _batches(self) -> Batches:
        at = self.trained.split_point(self.network.encoder.shape.blocks)
        examples = []
        for ids, lengths, labels in zip(self.ids, self.lengths, self.labels, strict=True):
            frozen = self.network.frozen(TokenIds(ids=ids, lengths=lengths), [at])[at]
            examples.append(TrainingExamples(at=at, frozen=frozen, lengths=lengths, labels=labels))
        return Batches.of(self.network, examples, [np.arange(BATCH)] * CLIENTS)

    def obvious(self, probes: int, clients: int = CLIENTS) -> float:
        """Return the seconds that the obvious loop takes for a number of probes of each of the first clients."""
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        elapsed = stopwatch()
        for every, lengths, labels in list(zip(self.ids, self.lengths, self.labels, strict=True))[:clients]:
            ids = every[:, : int(lengths.max())]
            mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
            for _ in range(probes):
                moves = [torch.randn_like(parameter) for parameter in trained]
                losses = []
                with torch.no_grad():
                    for factor in (H, -2 * H):
                        for parameter, move in zip(trained, moves, strict=True):
                            parameter.add_(move, alpha=factor)
                        losses.append(self.model(ids, attention_mask=mask, labels=labels).loss)
                    for parameter, move in zip(trained, moves, strict=True):
                        parameter.add_(move, alpha=H)
                float(losses[0] - losses[1]) / (2 * H)
        return elapsed()

    @property
    def probing(self) -> Probing:
        """Return fedlab's way to a derivative."""
        return Probing(
            network=self.network,
            at=self.trained.split_point(self.network.encoder.shape.blocks),
            layout=layout_of(self.arrays),
            differences=Differences(h=H),
            distribution="gaussian",
        )

    def fedlab(self, probes: int) -> float:
        """Return the seconds that fedlab takes for a number of probes of each client."""
        probing, centre = self.probing, flat(self.arrays)
        elapsed = stopwatch()
        probing.derivatives([centre] * CLIENTS, self.batches, _asked(probes))
        return elapsed()

    def directions(self, probes: int) -> float:
        """Return the seconds that fedlab takes to make the points at which it takes losses."""
        elapsed = stopwatch()
        for _ in self.probing.points([flat(self.arrays)] * CLIENTS, _asked(probes), []):
            pass
        return elapsed()


def _asked(probes: int) -> list[Probe]:
    return [Probe(client=client, seed=client * probes + probe) for client in range(CLIENTS) for probe in range(probes)]


def measured(depth: int, *, precision: Precision, repeats: int, quick: bool, run: bool) -> Row:
    """Measure a depth; with `quick` the loop makes one probe of three clients, and a deep fedlab two of each."""
    work = Work(depth, precision)
    slow, clients = (1, 3) if quick else (PROBES, CLIENTS)
    fast = 2 if quick and depth > 2 else PROBES
    work.obvious(1, 1), work.fedlab(1)  # what is made once
    pairs = [(clients * slow / work.obvious(slow, clients), CLIENTS * fast / work.fedlab(fast)) for _ in range(repeats)]
    obvious, ours = zip(*pairs, strict=True)
    return Row(
        depth=depth,
        precision=precision,
        obvious=statistics.median(obvious),
        fedlab=statistics.median(ours),
        speedup=statistics.median(fast / slow for slow, fast in pairs),
        frozen_seconds=work.frozen_seconds,
        parameters=sum(array.size for array in work.arrays.values()),
        directions=work.directions(fast) * statistics.median(ours) / (CLIENTS * fast),
        overhead=overhead(depth, precision) if run else None,
    )


def overhead(depth: int, precision: Precision) -> float:
    """Return the share of a steady round of `fedlab run` that is not the work of its busiest actor."""
    rounds = 10
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "forward.toml"
        file.write_text("rounds = 1\n")
        engine = steady_run(file, [*RUN, f"client.depth={depth}", f"backbone.precision={precision}"], rounds)
    return max(0.0, 1 - engine.busiest_train_seconds / statistics.median(engine.rounds))


def main() -> None:
    """Measure all depths and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--depths", type=int, nargs="+", default=[2, 6])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--precision", choices=get_args(Precision), default=BASELINE, help="of fedlab's frozen weights")
    parser.add_argument("--no-run", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(usable_cores())
    rows = [
        measured(
            depth,
            precision=arguments.precision,
            repeats=arguments.repeats,
            quick=arguments.quick,
            run=not arguments.no_run,
        )
        for depth in arguments.depths
    ]
    names = ("obvious, probes/s", "fedlab, probes/s", "speedup", "directions", "overhead", "frozen states, s")
    table = Table("depth", "precision", "parameters", *names)
    for row in rows:
        table.add_row(
            str(row.depth), row.precision, str(row.parameters),
            f"{row.obvious:.1f}", f"{row.fedlab:.1f}", f"{row.speedup:.1f}x",
            f"{row.directions:.0%}", "-" if row.overhead is None else f"{row.overhead:.0%}",
            f"{row.frozen_seconds:.1f}",
        )  # fmt: skip
    Console().print(table)
    if arguments.json:
        found = {"machine": platform.processor(), "cores": usable_cores(), "rows": [asdict(row) for row in rows]}
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
