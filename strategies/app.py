"""The ServerApp that Flower's own runtimes load: an experiment, run over whatever nodes there are."""

import logging

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp
from rich.console import Console

from fedlab.deploy.server.run import run_measured
from fedlab.deploy.server.simulated_cost import run_simulated
from fedlab.errors import RunFailedError, UserError
from fedlab.messages.flower_private import is_simulated, say_plainly
from fedlab.results.display import choose_display

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the experiment that the run's configuration names; write its folder below `out`.

    On real nodes costs are measured; on those of Flower's simulation they are computed.

    Raises:
        UserError: the run's configuration or its experiment cannot be used.
        RunFailedError: the run cannot begin or go on.
    """
    say_plainly(UserError, RunFailedError)
    run = run_simulated if is_simulated(grid) else run_measured
    display = choose_display(Console(), plain=True, total_rounds=None)
    summary = run(grid, context.run_config, display)
    accuracy, folder = summary["accuracy"], summary["run_dir"]
    logging.getLogger("fedlab").warning("accuracy %.3f, run folder %s", accuracy, folder)
