"""Tiny encoders with random weights, the arrays and texts that go with them, and a Hugging Face hub on loopback."""
# ruff: noqa: PLC0415  (imported where needed: most tests need neither torch nor transformers)

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
import pytest

BLOCKS, HIDDEN, LABELS, VOCABULARY, POSITIONS = 3, 32, 5, 50, 24


class ArraysOf(dict[str, np.ndarray]):
    """Arrays of a model together with the set that is trained of it."""

    def __init__(self, trained: Any, arrays: Mapping[str, np.ndarray]) -> None:
        super().__init__(arrays)
        self.trained = trained

    @property
    def at(self) -> Any:
        """Return where the set splits a tiny model."""
        return self.trained.split_point(BLOCKS)


@dataclass(frozen=True, kw_only=True)
class TinyWorld:
    """What tests build with: `models` are transformers encoders of 3 blocks, 32 wide, by family."""

    models: Mapping[str, Any]
    network: Callable[..., Any]
    logits: Callable[..., np.ndarray]
    blocks: int = BLOCKS
    hidden: int = HIDDEN
    labels: int = LABELS
    vocabulary: int = VOCABULARY

    def trained(self, depth: int, width: int, seed: int = 0) -> ArraysOf:
        """Return the arrays of adapters and head, none of which is zero, as after training."""
        from fedlab.models.peft.bottleneck import Bottleneck, array_shapes

        config = Bottleneck(depth=depth, width=width)
        shapes = array_shapes(config, blocks=self.blocks, hidden=self.hidden, labels=self.labels)
        draws = np.random.default_rng(seed)
        arrays = {name: draws.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes.items()}
        return ArraysOf(config, arrays)

    def whole(self, network: Any, depth: int, seed: int = 0) -> ArraysOf:
        """Return the arrays of a model of which so many blocks are to be trained whole, with a random head."""
        from fedlab.models.base import weights_of
        from fedlab.models.peft.whole_blocks import TopBlocks

        config = TopBlocks(depth=depth)
        names = config.shapes(network.sizes(self.labels))
        return ArraysOf(config, weights_of(network.encoder, names) | self.trained(0, 1, seed))

    def states(self, network: Any, ids: Any, lengths: Any, at: Any) -> Any:
        """Return the frozen states of texts at a split point, which can be trained from."""
        from fedlab.models.base import TokenIds

        return network.frozen(TokenIds(ids=ids, lengths=lengths), [at])[at].clone()

    def texts(self, lengths: Sequence[int], seed: int = 0) -> tuple[Any, Any]:
        """Return token ids [B, T], padded with zeros to the longest, and lengths [B]."""
        import torch

        draws = np.random.default_rng(seed)
        ids = np.zeros((len(lengths), max(lengths)), np.int64)
        for row, length in enumerate(lengths):
            ids[row, :length] = draws.integers(1, self.vocabulary, length)
        return torch.from_numpy(ids), torch.tensor(lengths)


@pytest.fixture(scope="session")
def library() -> Any:
    """Return the module that makes the adapters library's own models of our arrays."""
    import importlib.util

    path = Path(__file__).parents[2] / "benchmarks" / "library_model.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def tiny() -> TinyWorld:
    import torch

    from fedlab.models.base import TokenIds
    from fedlab.models.load import encoder_of
    from fedlab.models.split import Network

    torch.set_num_threads(1)
    models = _models()
    encoders = {family: encoder_of(model) for family, model in models.items()}

    def network(family: str = "bert", kind: str = "classification", pooling: str = "cls") -> Network:
        return Network(encoder=encoders[family], kind=kind, pooling=pooling)

    def logits(network: Network, ids: Any, lengths: Any, arrays: ArraysOf) -> np.ndarray:
        at = arrays.at
        parameters = {name: torch.from_numpy(array) for name, array in arrays.items()}
        frozen = network.frozen(TokenIds(ids=ids, lengths=lengths), [at])[at]
        return network.logits(frozen, lengths, parameters, at).numpy()

    return TinyWorld(models=models, network=network, logits=logits)


def _models() -> dict[str, Any]:
    import torch
    from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel

    bert = BertConfig(
        vocab_size=VOCABULARY, hidden_size=HIDDEN, num_hidden_layers=BLOCKS, num_attention_heads=4,
        intermediate_size=48, max_position_embeddings=POSITIONS,
    )  # fmt: skip
    distilbert = DistilBertConfig(
        vocab_size=VOCABULARY, dim=HIDDEN, n_layers=BLOCKS, n_heads=4, hidden_dim=48, max_position_embeddings=POSITIONS
    )
    models = {"bert": BertModel(bert), "distilbert": DistilBertModel(distilbert)}
    draws = torch.Generator().manual_seed(1)
    for model in models.values():
        # As transformers draws them biases are zero and norms one, which would hide a weight put in the wrong place.
        for name, parameter in model.named_parameters():
            centre = float("norm" in name.lower() and name.endswith("weight"))
            with torch.no_grad():
                parameter.copy_(centre + 0.2 * torch.randn(parameter.shape, generator=draws))
        model.eval()
    return models


@pytest.fixture(scope="session")
def run_python() -> Callable[..., Any]:
    """Return a function that runs code in a Python of its own and returns what it prints as JSON on its last line."""

    def run(code: str, **environment: str) -> Any:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        proxies = {key: "" for key in inherited if key.lower().endswith("_proxy")}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=inherited | proxies | {"OMP_NUM_THREADS": "1"} | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


class FakeHub(BaseHTTPRequestHandler):
    """As much of the Hugging Face hub as fetching takes: one repository, whose files are a folder's, at one commit."""

    commit = "0" * 40

    def __init__(self, kind: str, repository: str, folder: Path, *rest: Any) -> None:
        self.repository, self.folder = repository, folder
        self.api = f"/api/{kind}s/{repository}"
        self.web = f"/{repository}" if kind == "model" else f"/{kind}s/{repository}"
        super().__init__(*rest)

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        form = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self._answer(asked=parse_qs(form).get("paths", []))

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, asked: Sequence[str] = ()) -> None:
        path = unquote(urlsplit(self.path).path)
        base = next((base for base in (self.api, self.web) if f"{path}/".startswith(f"{base}/")), None)
        if base is None:
            return self._refuse("RepoNotFound")
        what, revision, name = (path.removeprefix(base).lstrip("/") + "//").split("/", 2)
        if revision not in ("", "main", self.commit):
            return self._refuse("RevisionNotFound")
        place = self.folder / name.rstrip("/")
        match base == self.api, what:
            case False, "resolve" if place.is_file():
                self._send(200, place.read_bytes())
            case True, "" | "revision":
                siblings = [{"rfilename": file["path"]} for file in self._files()]
                self._send_json({"id": self.repository, "sha": self.commit, "tags": [], "siblings": siblings})
            case True, "tree" if place == self.folder:
                self._send_json(self._files())
            case True, "paths-info":
                self._send_json([file for file in self._files() if file["path"] in asked])
            case _:
                self._refuse("EntryNotFound")
        return None

    def _files(self) -> list[dict[str, Any]]:
        contents = {file.name: file.read_bytes() for file in sorted(self.folder.iterdir())}
        return [
            {"type": "file", "path": name, "size": len(content), "oid": sha1(content).hexdigest()}
            for name, content in contents.items()
        ]

    def _refuse(self, code: str) -> None:
        self._send(404, b"", {"X-Error-Code": code})

    def _send_json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, extra: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        headers = {"Content-Length": len(body), "ETag": f'"{sha256(body).hexdigest()}"', "X-Repo-Commit": self.commit}
        for name, value in (headers | (extra or {})).items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@pytest.fixture(scope="session")
def hub_with() -> Callable[..., AbstractContextManager[dict[str, str]]]:
    """Return a context manager: a hub with one repository of a folder's files, as the environment that leads to it."""

    @contextmanager
    def hub(kind: Literal["model", "dataset"], repository: str, folder: Path) -> Iterator[dict[str, str]]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(FakeHub, kind, repository, folder))
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield {
                "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
                "HF_HUB_DISABLE_TELEMETRY": "1",
                "HF_HUB_DISABLE_XET": "1",
                "HF_UPDATE_DOWNLOAD_COUNTS": "0",
            }
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    return hub


@pytest.fixture(scope="session")
def planned_run() -> Callable[..., Any]:
    """Return a function that runs an experiment with planned clients into a folder, its accuracy rising by a tenth."""
    from dataclasses import replace

    import numpy as np
    from safetensors.numpy import save_file

    from fedlab.estimate.experiment.dry_run import dry_run
    from fedlab.estimate.experiment.plan import plan_of
    from fedlab.estimate.experiment.trial_outcomes import cheapest
    from fedlab.results.digests import digest_arrays, digest_records
    from fedlab.results.folder import create
    from fedlab.results.recorder import Recorder
    from fedlab.results.report import summarise

    def run(experiment: Any, path: Path, *, finished: bool = True) -> Any:
        done = dry_run(plan_of(experiment, batches=5, labels=2), cheapest)
        folder = create(path)
        folder.write_experiment(experiment)
        recorder = Recorder(folder)
        recorder.on_clients(done.clients)
        for record in done.rounds:
            recorder.on_round(replace(record, test_accuracy=record.server_round / 10))
        for trial in done.trials:
            recorder.on_trial(trial)
        recorder.close()
        if finished:
            arrays = {"head.weight": np.ones((2, 2), np.float32)}
            save_file(arrays, folder.final)
            folder.write_summary(
                summarise(
                    folder.rounds(), folder.trials(), folder.clients(), status="finished",
                    arrays_digest=digest_arrays(arrays), records_digest=digest_records(folder),
                )
            )  # fmt: skip
        return folder

    return run


ADAPTERS = {"set": "bottleneck", "depth": 2, "width": 8}
CLIENT_BYTES, CLIENT_JOULES = 1000, 50.0  # of a recorded client in a round, half of the bytes down and half up


def client_record(server_round: int, partition_id: int) -> Any:
    from fedlab.results.records import ClientRecord

    return ClientRecord(
        server_round=server_round, group="train", partition_id=partition_id, device="jetson-tx2",
        configuration=dict(ADAPTERS), num_examples=4, batches=1, train_loss=1.0, compute_seconds=1.0,
        download_seconds=0.5, upload_seconds=0.5, joules=CLIENT_JOULES, bytes_down=CLIENT_BYTES // 2,
        bytes_up=CLIENT_BYTES // 2, peak_memory_bytes=10**9,
    )  # fmt: skip


def round_record(server_round: int, seconds: float, test: float | None, validation: float | None) -> Any:
    from fedlab.results.records import GroupRecord, RoundRecord

    group = GroupRecord(
        group="train", configuration=dict(ADAPTERS), clients=2, failures=0, seconds=1.0, joules=2.0, bytes_down=1000,
        bytes_up=1000, train_loss=1.0,
    )  # fmt: skip
    return RoundRecord(
        server_round=server_round, trial=None, simulated_seconds=seconds, configuration=dict(ADAPTERS), groups=[group],
        validation_accuracy=validation, test_accuracy=test, wall_seconds=0.1 * server_round,
    )  # fmt: skip


@pytest.fixture
def recorded(tmp_path) -> Callable[..., Path]:
    """Return a function that writes a run folder: two clients a round, and (seconds, test accuracy) round by round."""
    from fedlab.config.file import load_experiment
    from fedlab.results.folder import create
    from fedlab.results.recorder import Recorder
    from fedlab.results.report import summarise

    file = tmp_path / "base.toml"
    file.write_text("rounds = 3\n[strategy]\nname = 'fedavg'\n")

    def write(
        name: str,
        curve: Sequence[tuple[float, float | None]],
        settings: Mapping[str, Any] | None = None,
        *,
        validation: Sequence[float | None] = (),
        finished: bool = True,
    ) -> Path:
        changed = [f"{key}={value}" for key, value in (settings or {}).items()]
        folder = create(tmp_path / name)
        folder.write_experiment(load_experiment(file, changed))
        recorder = Recorder(folder)
        for number, (seconds, accuracy) in enumerate(curve, start=1):
            recorder.on_clients([client_record(number, 0), client_record(number, 1)])
            measured = validation[number - 1] if validation else None
            recorder.on_round(round_record(number, seconds, accuracy, measured))
        recorder.close()
        if finished:
            folder.write_summary(summarise(folder.rounds(), [], folder.clients(), status="finished"))
        return folder.path

    return write


@pytest.fixture(scope="session")
def prepare(small_experiment, tmp_path_factory):
    """Return a function that opens a workbench of the small experiment with another backbone table."""
    from fedlab.training.activation_store import ActivationStore
    from fedlab.training.bundle import bundle_for, open_bundle

    def make(**backbone):
        table = small_experiment.backbone.model_copy(update=backbone)
        experiment = small_experiment.model_copy(update={"backbone": table})
        folder = tmp_path_factory.mktemp("workbench")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FEDLAB_CACHE", str(folder / "cache"))
            bundle = bundle_for(experiment, folder)
        return experiment, open_bundle(bundle, ActivationStore(folder=folder, budget_bytes=0))

    return make
