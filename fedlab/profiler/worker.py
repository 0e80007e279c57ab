"""One measurement in a fresh process: the deployed client trains rounds of batches, and is timed by its own spans.

Run as `python -m fedlab.profiler.worker JOB`, a job as JSON; the reading is written to stdout as JSON. The process is
the client's as it is deployed: it opens a prepared bundle and answers orders. Uncached batches run without room to
store activations; cached ones start from activations that another process has stored, so that the forward pass of the
blocks below is in neither its time nor its memory.
"""

import json
import resource
import sys
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from flwr.app import Context, Message, MessageType, RecordDict
from flwr.clientapp import ClientApp

from fedlab.common.arrays import Arrays
from fedlab.common.clock import stopwatch
from fedlab.common.seeds import generator
from fedlab.common.spans import collecting
from fedlab.devices.tables import Point, TableName
from fedlab.messages.flower_private import assume_identity, with_id
from fedlab.messages.node_config import NodeConfig
from fedlab.messages.orders import order_content
from fedlab.messages.pack import to_record
from fedlab.messages.replies import read_workload
from fedlab.models.base import weights_of
from fedlab.models.peft.base import TrainableSet
from fedlab.models.peft.bottleneck import Bottleneck
from fedlab.models.peft.whole_blocks import TopBlocks
from fedlab.profiler.plan import Job, Reading
from fedlab.server.factory import load_client
from fedlab.training.bundle import PreparedBundle
from fedlab.training.workbench import HostedContext, Opener, Workbench

CLIENTS: Mapping[TableName, str] = {"adapter": "adapter", "cached_adapter": "adapter", "full": "full"}


def measure(job: Job) -> Reading:
    """Measure one entry of a table."""
    assume_identity(1)
    opener = _bundle(job, stores=job.table == "cached_adapter").opener()
    trained = _trained_set(job)
    content = order_content(
        to_record(_first_arrays(opener(), trained)), server_round=1, configuration=trained.configuration
    )
    client, brief = _client(job), _client(job, max_batches=1)
    loaded_bytes = peak_rss_bytes()
    _round_seconds(brief, content, opener)  # memory is claimed and code is loaded once
    timed = [_round_seconds(client, content, opener) for _ in range(job.repeats)]
    reading = Reading(
        round_seconds=tuple(seconds for seconds, _ in timed),
        batches=timed[0][1],
        loaded_bytes=loaded_bytes,
        peak_bytes=peak_rss_bytes(),
        threads=torch.get_num_threads(),
    )
    if job.table == "adapter":  # now that the peak is read: what the job of the cached table starts from
        _round_seconds(brief, content, _bundle(job, stores=True).opener())
    return reading


def peak_rss_bytes() -> int:
    """Return the most memory this process has had resident.

    Linux's VmHWM is of this program alone; `ru_maxrss` may be that of the process that started it.
    """
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _bundle(job: Job, *, stores: bool) -> PreparedBundle:
    """Return what a client opens; one that does not store has no room to, in a folder where nothing is stored."""
    folder, room = (job.activations, job.activation_bytes) if stores else (f"{job.activations}-none", 0)
    return PreparedBundle(folder=Path(job.bundle), activations=Path(folder), room_bytes=room)


def _client(job: Job, **options: int) -> ClientApp:
    return load_client(CLIENTS[job.table], {"batch_size": job.point.batch_size, **options}, Path())


def _trained_set(job: Job) -> TrainableSet:
    if job.table == "full":
        return TopBlocks(depth=job.depth)
    return Bottleneck(depth=job.depth, width=job.point.width)


def _first_arrays(workbench: Workbench, trained: TrainableSet) -> Arrays:
    network = workbench.transformer
    sizes = network.sizes(len(workbench.label_names))
    return trained.initial(sizes, generator(0, "initial"), partial(weights_of, network.encoder))


def _round_seconds(client: ClientApp, content: RecordDict, opener: Opener) -> tuple[float, int]:
    """Let the client train a round; return the seconds its batches took, and how many they were.

    They are those of the client's spans, without unpacking and packing the message; of a client that has none, all.
    """
    order = with_id(Message(content, 1, MessageType.TRAIN), "order")
    node = NodeConfig(partition_id=0, num_partitions=1).mapping()
    context = Context(run_id=1, node_id=1, node_config=node, state=RecordDict(), run_config={})
    elapsed = stopwatch()
    with collecting() as spans:
        reply = client(order, HostedContext(context, opener))
    whole = elapsed()
    workload = read_workload(reply)
    assert workload is not None, "the client reports what it did"
    return sum(spans.values()) or whole, workload.batches


def _read(text: str) -> Job:
    table = json.loads(text)
    return Job(**{**table, "point": Point(**table["point"])})


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(measure(_read(sys.argv[1])))) + "\n")
