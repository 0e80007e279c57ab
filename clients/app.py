"""The ClientApp that Flower's own runtimes load: the client that the run's experiment names."""

import functools

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from fedlab.experimentfile import experiment_of_run
from fedlab.loading import load_client

app = ClientApp()


@app.train()
@app.evaluate()
@app.query()
def answer(message: Message, context: Context) -> Message:
    """Let the experiment's client answer."""
    clients = int(context.node_config["num-partitions"])
    named = _client(str(context.run_config["experiment"]), str(context.run_config["settings"]), clients)
    return named(message, context)


@functools.lru_cache(maxsize=2)
def _client(experiment_name: str, settings: str, clients: int) -> ClientApp:
    experiment = experiment_of_run({"experiment": experiment_name, "settings": settings}, clients=clients)
    return load_client(experiment.client.name, experiment.client.options, experiment.path("."))
