"""The ClientApp that Flower's own runtimes load: the client that the run's experiment names."""

import functools
from dataclasses import dataclass
from pathlib import Path

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from fedlab.config.file import experiment_of_run
from fedlab.config.schema import Experiment
from fedlab.deploy.node.measure_client import answer_measured
from fedlab.messages.node_config import check_node, read_node_config
from fedlab.server.factory import codec_names, load_client, set_names
from fedlab.training.bundle import prepare_workbench
from fedlab.training.workbench import HostedContext, Workbench

app = ClientApp()


@app.train()
@app.evaluate()
@app.query()
@app.query("prefill")
def answer(message: Message, context: Context) -> Message:
    """Let the experiment's client answer, and add what the node measured while it did."""
    node = read_node_config(context.node_config)
    check_node(node)
    run = _Run(
        experiment=str(context.run_config["experiment"]),
        settings=str(context.run_config["settings"]),
        clients=node.clients,
    )
    hosted = HostedContext(context, functools.partial(_workbench, run, node.data_path, node.state_path))
    reply = answer_measured(_client(run), message, hosted)
    context.state = hosted.state
    return reply


@dataclass(frozen=True, kw_only=True)
class _Run:
    """What decides a node's client and data; a process that serves many messages of a run makes each once."""

    experiment: str
    settings: str
    clients: int

    def read(self) -> Experiment:
        return experiment_of_run({"experiment": self.experiment, "settings": self.settings}, clients=self.clients)


@functools.lru_cache(maxsize=2)
def _client(run: _Run) -> ClientApp:
    experiment = run.read()
    client = experiment.client
    return load_client(
        client.name, client.options, experiment.path("."), codec_names(experiment), set_names(experiment)
    )


@functools.lru_cache(maxsize=2)
def _workbench(run: _Run, data_path: str, state_path: str) -> Workbench:
    own_data, state = (Path(path) if path else None for path in (data_path, state_path))
    return prepare_workbench(run.read(), own_data=own_data, state=state)
