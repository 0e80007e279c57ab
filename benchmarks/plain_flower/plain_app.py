"""The naive loop as a Flower app: the benchmark's round in plain Flower simulation."""

import functools
import json
import sys
from pathlib import Path

import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from fedlab.common.clock import stopwatch

client = ClientApp()  # Flower looks for these names in the text: one assignment each
server = ServerApp()


@functools.lru_cache(maxsize=1)
def _loop(folder: str, experiment: str, settings: str, depth: int):
    sys.path.insert(0, folder)
    from loop import Loop  # noqa: PLC0415  (where it lies is known from the configuration only)

    torch.set_num_threads(1)
    return Loop(Path(experiment), json.loads(settings), depth)


def _loop_of(context: Context):
    config = context.run_config
    return _loop(config["loop"], config["experiment"], config["settings"], int(config["depth"]))


@client.train()
def train(message: Message, context: Context) -> Message:
    loop = _loop_of(context)
    state = message.content["arrays"].to_torch_state_dict()
    with torch.no_grad():
        for parameter, value in zip(loop.trained, state.values(), strict=True):
            parameter.copy_(value)
    loop.train_client(int(context.node_config["partition-id"]))
    arrays = ArrayRecord({str(place): parameter.detach() for place, parameter in enumerate(loop.trained)})
    metrics = MetricRecord({"num-examples": 113})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)


@server.main()
def main(grid: Grid, context: Context) -> None:
    loop = _loop_of(context)
    arrays = ArrayRecord({str(place): parameter.detach() for place, parameter in enumerate(loop.trained)})
    strategy = FedAvg(fraction_evaluate=0.0)
    seconds = []
    for server_round in range(1, int(context.run_config["rounds"]) + 1):
        elapsed = stopwatch()
        replies = grid.send_and_receive(strategy.configure_train(server_round, arrays, ConfigRecord(), grid))
        arrays, _ = strategy.aggregate_train(server_round, replies)
        seconds.append(elapsed())
    Path(str(context.run_config["results"])).write_text(json.dumps(seconds))
