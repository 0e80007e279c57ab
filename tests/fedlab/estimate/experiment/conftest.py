"""A small experiment run for real, without Ray, and the same planned."""
# ruff: noqa: PLC0415  (imported where needed: most tests need none of it)

from collections.abc import Callable
from types import SimpleNamespace

import pytest

BASE = {
    "seed": 5,
    "backbone": {"name": "bert-tiny"},
    "fleet": {"devices": {"jetson-tx2": 1, "rpi-4b": 1}},
    "evaluation": {"test_every": 0},
}


@pytest.fixture(scope="session")
def task(day_and_night):
    """Return a task of 8 clients of 14 texts, all longer than its 8 tokens."""
    return {"data": str(day_and_night), "max_length": 8, "partition": {"clients": 8}}


@pytest.fixture(scope="session")
def experiment_of(task) -> Callable:
    """Return a function that makes an experiment of that task."""
    from fedlab.config.file import experiment_from

    return lambda **keys: experiment_from(BASE | {"task": task} | keys, "planned")


@pytest.fixture(scope="session")
def prepared(experiment_of, tmp_path_factory):
    """Return a function that prepares data and encoder in a precision, and returns the workbench of the clients.

    Given an experiment of images in place of a precision, it prepares these.
    """
    import functools

    import torch

    from fedlab.training.bundle import PreparedBundle, bundle_for

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("planned")

    def of(precision, images=None):
        return texts(precision) if images is None else opened(images, "images")

    @functools.cache
    def texts(precision):
        backbone = BASE["backbone"] | {"precision": precision}
        return opened(experiment_of(rounds=1, backbone=backbone), precision)

    def opened(experiment, name):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FEDLAB_CACHE", str(folder / "cache"))
            bundle = bundle_for(experiment, folder)
        return PreparedBundle(folder=bundle, activations=folder / f"states-{name}", room_bytes=2**26).open()

    return of


@pytest.fixture
def run_for_real(memory_grid, prepared, hosted, tmp_path, monkeypatch) -> Callable:
    """Return a function that runs an experiment's server over its real clients, and returns its records."""
    from dataclasses import replace
    from pathlib import Path

    from fedlab.common.clock import VirtualClock
    from fedlab.results.folder import create
    from fedlab.results.recorder import Recorder
    from fedlab.server.assemble import assemble, fit_to_partitions
    from fedlab.server.bench import bench_of
    from fedlab.server.factory import load_client
    from fedlab.server.serve import World, serve

    monkeypatch.setattr("fedlab.results.write.plot_accuracy", lambda *_, **__: None)
    monkeypatch.setattr("fedlab.results.write.try_report", lambda *_: None)

    def run(experiment, measure=lambda arrays, split, at: 0.0):
        app = load_client(experiment.client.name, experiment.client.options, Path(), ("int8",))
        images = experiment if experiment.task.kind == "image" else None
        workbench = prepared(experiment.backbone.precision, images)
        nodes = range(2, 2 + len(workbench.partitions))
        contexts = {node: hosted(workbench, node - 2, node_id=node) for node in nodes}
        grid = memory_grid(lambda message: app(message, contexts[message.metadata.dst_node_id]), contexts)
        folder = create(tmp_path / f"run-{len(list(tmp_path.iterdir()))}")
        folder.write_experiment(experiment)
        assembled = fit_to_partitions(assemble(experiment), len(workbench.partitions))
        bench = bench_of(experiment, workbench, measure)
        summary = serve(
            assembled,
            replace(bench, export=lambda *_: None),
            World(
                grid=grid,
                partitions={node: node - 2 for node in contexts},
                clock=VirtualClock(),
                physics=assembled.physics(bench.shape),
            ),
            folder=folder,
            recorder=Recorder(folder),
            observers=[],
        )
        return SimpleNamespace(
            summary=summary, clients=folder.clients(), rounds=folder.rounds(), trials=folder.trials()
        )

    return run
