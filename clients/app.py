"""The ClientApp that Flower's own runtimes load: the client that the run's experiment names."""

import functools

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from fedlab.config.file import experiment_of_run
from fedlab.deploy.node.config import check_node, clients_of
from fedlab.deploy.node.measure_client import answer_measured
from fedlab.server.factory import codec_names, load_client, set_names

app = ClientApp()


@app.train()
@app.evaluate()
@app.query()
@app.query("prefill")
def answer(message: Message, context: Context) -> Message:
    """Let the experiment's client answer, and say what it measured meanwhile."""
    check_node(context.node_config)
    clients = clients_of(context.node_config)
    named = _client(str(context.run_config["experiment"]), str(context.run_config["settings"]), clients)
    return answer_measured(named, message, context)


@functools.lru_cache(maxsize=2)
def _client(experiment_name: str, settings: str, clients: int) -> ClientApp:
    experiment = experiment_of_run({"experiment": experiment_name, "settings": settings}, clients=clients)
    client = experiment.client
    return load_client(
        client.name, client.options, experiment.path("."), codec_names(experiment), set_names(experiment)
    )
