"""Measure the cost of one message, without the client's own work.

    python benchmarks/messages.py [--messages 1000] [--rounds 5] [--profile]

It runs `fedlab run` with a client that does nothing, on arrays of 60 kB, and prints the milliseconds of a round divided
by its messages: everything from the strategy's orders to the records on disk and the checkpoint is included.
"""

import argparse
import cProfile
import itertools
import json
import pstats
import statistics
import tempfile
from pathlib import Path

from fedlab.config.file import load_experiment
from fedlab.results.folder import create
from fedlab.simulation.simulate import simulate
from fedlab.simulation.which_ray import ray_for

HERE = Path(__file__).parent
WIDTH = 28  # of adapters in both blocks of BERT-tiny: 4 x 128 x 28 weights of 4 bytes are 57 kB, the rest is the head


def round_seconds(messages: int, rounds: int) -> list[float]:
    """Return the seconds of each round, without the first (actors start) and the last (test)."""
    settings = [
        "backbone.name=bert-tiny",
        f"client={{name='{HERE / 'echo.py'}:client',depth=2,width={WIDTH}}}",
        "strategy.name=fedavg",
        f"strategy.options={{clients_per_round={messages}}}",
        f"task.partition={{scheme='iid',clients={messages}}}",
        "task.limit=1000000",
        "evaluation.validation_every=1000000",
        f"rounds={rounds + 2}",
    ]
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        experiment = load_experiment(HERE.parent / "experiments" / "quickstart.toml", settings)
        with ray_for(experiment.engine, print) as place:
            simulate(experiment, claim=lambda: create(run), observers=[], place=place)
        ends = [json.loads(line)["wall_seconds"] for line in (run / "rounds.jsonl").read_text().splitlines()]
    return [after - before for before, after in itertools.pairwise(ends[:-1])]


def main() -> None:
    """Measure and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profile", action="store_true", help="show a profile of the driver")
    arguments = parser.parse_args()
    profile = cProfile.Profile()
    if arguments.profile:
        profile.enable()
    seconds = round_seconds(arguments.messages, arguments.rounds)
    profile.disable()
    print(f"{statistics.median(seconds) / arguments.messages * 1e3:.2f} ms a message")
    if arguments.profile:
        pstats.Stats(profile).sort_stats("cumulative").print_stats(60)


if __name__ == "__main__":
    main()
