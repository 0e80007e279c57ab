"""What several tests share: a grid in memory, a small task with its encoder, and a Ray cluster."""
# ruff: noqa: PLC0415  (imported where needed: most tests need neither Flower nor Ray)

import importlib.util
import random
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import hypothesis
import pytest

# How long an example takes says how busy the machine is, and nothing of the code.
hypothesis.settings.register_profile("fedlab", deadline=None)
hypothesis.settings.load_profile("fedlab")


DAY, NIGHT = ("sun", "warm"), ("moon", "cold")
FILLERS = ("red", "green", "blue", "cat", "dog", "fish", "tree", "stone", "river")


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of one file, and those that share a Ray cluster, in one of the processes of pytest-xdist.

    Those of the cluster are most of the time of one process: they come first, so that the others share the rest of it.
    """
    for item in items:
        item.add_marker(pytest.mark.xdist_group("cluster" if _shares_cluster(item) else str(item.path)))
    items.sort(key=lambda item: not _shares_cluster(item))


def _shares_cluster(item: pytest.Item) -> bool:
    return "ray_address" in getattr(item, "fixturenames", ())


@pytest.fixture(scope="session")
def server_identity():
    """Let this process write messages as a run's server does."""
    from fedlab.messages.flower_private import assume_identity

    assume_identity(1)


@pytest.fixture(scope="session")
def memory_grid(server_identity):
    """Return a class of grids whose nodes are a function of this process."""
    from flwr.app import Message
    from flwr.serverapp import Grid

    from fedlab.messages.flower_private import with_id

    class MemoryGrid(Grid):
        """`answer` returns a node's reply, None if it stays silent; at most `a_pull` replies arrive at a time."""

        def __init__(
            self,
            answer: Callable[[Message], Message | None],
            nodes: Iterable[int],
            *,
            arrange: Callable[[list[str]], list[str]] = list,
            a_pull: int | None = None,
        ) -> None:
            self.sent: list[Message] = []
            self._answer, self._nodes, self._arrange, self._a_pull = answer, list(nodes), arrange, a_pull
            self._replies: dict[str, Message] = {}

        run = None

        def set_run(self, run):
            raise NotImplementedError

        def create_message(self, content, message_type, dst_node_id, group_id, ttl=None):
            return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

        def get_node_ids(self):
            return list(self._nodes)

        def push_messages(self, messages):
            fresh = [with_id(message, f"m{len(self.sent) + at}") for at, message in enumerate(messages)]
            self.sent += fresh
            answers = {message.metadata.message_id: self._answer(message) for message in fresh}
            self._replies |= {message_id: reply for message_id, reply in answers.items() if reply is not None}
            return [message.metadata.message_id for message in fresh]

        def pull_messages(self, message_ids):
            there = self._arrange([message_id for message_id in message_ids if message_id in self._replies])
            return [self._replies.pop(message_id) for message_id in there[: self._a_pull]]

        def send_and_receive(self, messages, *, timeout=None):
            return self.pull_messages(self.push_messages(messages))

    return MemoryGrid


@pytest.fixture(scope="session")
def flowers_strategy():
    """Return a function: the table of an experiment that names a strategy of Flower's package, half of eight clients a
    round."""
    half = {"fraction_train": 0.5, "fraction_evaluate": 0.25}
    private = {"strategy": {"name": "flwr.serverapp.strategy:FedAvg", "options": half}}
    private |= {"noise_multiplier": 0.01, "num_sampled_clients": 4}
    options = {
        "DifferentialPrivacyClientSideAdaptiveClipping": private,
        "DifferentialPrivacyServerSideAdaptiveClipping": private,
        "DifferentialPrivacyClientSideFixedClipping": private | {"clipping_norm": 0.05},
        "DifferentialPrivacyServerSideFixedClipping": private | {"clipping_norm": 0.05},
        "FedAvgM": half | {"server_momentum": 0.9},
        "FedProx": half | {"proximal_mu": 0.1},
        "FedXgbCyclic": {},
        "QFedAvg": half | {"client_learning_rate": 0.1},
    }
    return lambda name: {"name": f"flwr.serverapp.strategy:{name}", "options": options.get(name, half)}


@pytest.fixture(scope="session")
def plain_board():
    """Return a function that makes boards for an encoder of 4 blocks: a batch of 4 x 64 tokens takes 2 s at any depth,
    and 10 kB of memory for each depth and one more; 10 W to compute, 4 W to communicate, 1 W to wait."""
    from fedlab.devices.profile import DeviceProfile, Processor
    from fedlab.devices.tables import DepthTable, FormatTables, Point, Provenance
    from fedlab.workload.shape import ModelShape

    shape = ModelShape(family="bert", blocks=4, hidden=8, intermediate=16)

    def table(values):
        point = Point(batch_size=4, sequence_length=64, width=8)
        return DepthTable(values=values, shape=shape, point=point, provenance=Provenance(level="measured", source=""))

    def make(name="board", *, memory_bytes=50_000, seconds_a_batch=2.0, watts=(10.0, 4.0, 1.0)):
        names = ("adapter", "cached_adapter", "full")
        computing, communicating, idle = watts
        tables = FormatTables(
            latency_seconds={("bert", name): table((seconds_a_batch,) * 5) for name in names},
            peak_memory_bytes={("bert", name): table((1e4, 2e4, 3e4, 4e4, 5e4)) for name in names},
        )
        return DeviceProfile(
            name=name,
            description="",
            memory_bytes=memory_bytes,
            communicating_watts=communicating,
            idle_watts=idle,
            processors={"default": Processor(name="default", computing_watts=computing, formats={"fp32": tables})},
            provenance={},
        )

    make.shape = shape
    return make


@pytest.fixture(scope="session")
def plain_physics(plain_board):
    """Return a function that puts boards, one a partition, on a link of 1 kB/s."""
    import numpy as np

    from fedlab.billing.simulated import SimulatedPhysics
    from fedlab.devices.fleet import Fleet
    from fedlab.network.links import constant

    def make(boards=None, *, clients=4, link=None, **server):
        boards = boards or [plain_board()] * clients
        return SimulatedPhysics(
            fleet=Fleet(profiles=tuple(boards), places=np.arange(len(boards)), relative_throughputs=None),
            link=link or constant(1000.0),
            shape=plain_board.shape,
            **server,
        )

    return make


@pytest.fixture(scope="session")
def day_and_night(tmp_path_factory) -> Path:
    """Write 160 short texts about day or night, which two words of eight tell apart."""
    draws = random.Random(0)
    lines = ["text,label"]
    for number in range(160):
        words = [draws.choice(FILLERS) for _ in range(6)] + list(NIGHT if number % 2 else DAY)
        draws.shuffle(words)
        lines.append(f"{' '.join(words)},{'night' if number % 2 else 'day'}")
    path = tmp_path_factory.mktemp("texts") / "texts.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="session")
def small_experiment(day_and_night):
    """Return an experiment with 8 clients of 14 texts each and an encoder of two blocks."""
    from fedlab.config.file import experiment_from

    table = {
        "rounds": 2,
        "task": {"data": str(day_and_night), "max_length": 16, "partition": {"clients": 8}},
        "backbone": {"name": "bert-tiny"},
    }
    return experiment_from(table, "small")


@pytest.fixture(scope="session")
def stripes(tmp_path_factory) -> Path:
    """Write 200 noisy images of 16 x 16 pixels by five writers, with stripes that lie or stand; 40 are for the test."""
    import numpy as np

    draws = np.random.default_rng(0)
    labels = np.arange(200) % 2
    images = draws.integers(0, 80, (200, 16, 16))
    for image, label in zip(images, labels, strict=True):
        (image if label else image.T)[:, draws.integers(0, 3) :: 3] += 100
    path = tmp_path_factory.mktemp("images") / "stripes.npz"
    arrays = {"image": images.astype(np.uint8), "label": labels, "writer": np.arange(200) // 2 % 5}
    np.savez(path, test=np.arange(200) >= 160, **arrays)
    return path


@pytest.fixture(scope="session")
def image_experiment(stripes):
    """Return an experiment with the five writers as clients, who train a LeNet."""
    from fedlab.config.file import experiment_from

    table = {
        "rounds": 2,
        "task": {
            "kind": "image",
            "data": str(stripes),
            "augment": ["crop", "flip"],
            "crop_padding": 1,
            "partition": {"scheme": "natural", "column": "writer"},
        },
        "backbone": {"name": "lenet"},
        "client": {"name": "full"},
        "strategy": {"name": "fedavg", "options": {"clients_per_round": 3}},
    }
    return experiment_from(table, "images")


@pytest.fixture(scope="session")
def image_bench(image_experiment, tmp_path_factory):
    """Prepare that experiment's data, and open it in this process."""
    import torch

    from fedlab.training.bundle import PreparedBundle, bundle_for

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("node")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDLAB_CACHE", str(folder / "cache"))
        prepared = bundle_for(image_experiment, folder)
    return PreparedBundle(folder=prepared, activations=folder / "activations", room_bytes=0).open()


@pytest.fixture
def backbone(tmp_path, day_and_night):
    """Save a tiny encoder with a vocabulary of its own, as one that was pretrained."""
    from fedlab.config.schema import Experiment
    from fedlab.models.load import load_pretrained

    table = Experiment.model_validate({"rounds": 1, "backbone": {"name": "bert-tiny"}}).backbone
    words = day_and_night.read_text().splitlines()
    made = load_pretrained(table, seed=0, resolve=tmp_path.joinpath, texts=lambda: iter(words))
    made.model.save_pretrained(tmp_path / "tiny")
    made.tokenizer.save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


@pytest.fixture(scope="session")
def bundle(small_experiment, tmp_path_factory):
    """Prepare that experiment's data and encoder, and return where they lie."""
    from fedlab.training.bundle import PreparedBundle, bundle_for

    folder = tmp_path_factory.mktemp("node")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDLAB_CACHE", str(folder / "cache"))
        prepared = bundle_for(small_experiment, folder)
    return PreparedBundle(folder=prepared, activations=folder / "activations", room_bytes=2**26)


@pytest.fixture(scope="session")
def workbench(bundle):
    """Open it, in this process."""
    import torch

    torch.set_num_threads(1)
    return bundle.open()


@pytest.fixture(scope="session")
def hosted():
    """Return a function that makes the context of a client of a partition, hosted by this process."""
    from flwr.app import Context, RecordDict

    from fedlab.messages.node_config import NodeConfig
    from fedlab.training.workbench import HostedContext

    def make(workbench, partition, *, node_id=None, state=None, clients=8):
        context = Context(
            run_id=1,
            node_id=partition if node_id is None else node_id,
            node_config=NodeConfig(partition_id=partition, num_partitions=clients).mapping(),
            state=RecordDict() if state is None else state,
            run_config={},
        )
        return HostedContext(context, lambda: workbench)

    return make


@pytest.fixture(scope="session")
def ray_address():
    """Start a Ray cluster of four cores for all tests, and return its address."""
    import ray

    from fedlab.simulation.engine.cluster import join_own_ray
    from fedlab.simulation.engine.own_ray import own_ray

    with own_ray(4) as own:
        join_own_ray(own)
        yield own.address
        ray.shutdown()


def beside(name):
    """Return a module beside this file, which is no test and not in the path."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def reply_changes():
    """Return the module `hostile_replies.py`."""
    return beside("hostile_replies")


@pytest.fixture(scope="session")
def malformed_inputs():
    """Return the module `malformed_inputs.py`."""
    return beside("malformed_inputs")


@pytest.fixture(scope="session")
def hostile_replies(reply_changes):
    """Return a hypothesis strategy of changes (reply -> reply, with a `kind`) after which a reply must be refused."""
    return reply_changes.hostile()


@pytest.fixture(scope="session")
def unusual_replies(reply_changes):
    """Return a strategy of changes after which a reply may be refused or averaged, but must not end a run."""
    return reply_changes.unusual()


@pytest.fixture
def lossy_disk(tmp_path):
    """Return a function that does something on a lossy disk, a folder, which a power failure ends at a step; it returns
    what is then left of the folder, twice: with names that were not synced, and without; and whether the power failed.
    """
    spec = importlib.util.spec_from_file_location("lossy_disk", Path(__file__).with_name("lossy_disk.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def attempt(root, do, *, fails_at=None):
        failed = False
        with pytest.MonkeyPatch.context() as patch:
            disk = module.LossyDisk(root, patch, fails_at=fails_at)
            try:
                do()
            except module.PowerFailure:
                failed = True
        places = [tmp_path / f"left-{fails_at}-{kept}" for kept in (True, False)]
        left = [disk.survivors(place, names_kept=kept) for place, kept in zip(places, (True, False), strict=True)]
        disk.close()
        return left, failed

    return attempt


@pytest.fixture(scope="session")
def browser():
    """Return a headless Chromium; tests that need it are skipped where there is none."""
    binary, driver = (shutil.which(name) for name in ("chromium", "chromedriver"))
    if binary is None or driver is None:
        pytest.skip("needs chromium and chromedriver (Debian: apt-get install chromium chromium-driver)")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--window-size=1280,900",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    found = webdriver.Chrome(options=options, service=Service(driver))
    yield found
    found.quit()
