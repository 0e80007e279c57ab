"""What comes back from training: an update's kind, its arrays and what it weighs.

A reply names its kind in its `config` record, under `kind`; without one it is a model, as Flower's clients send it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from fedlab.common.arrays import Arrays
from fedlab.messages.npy import views_of
from fedlab.messages.pack import NUM_EXAMPLES, config_of, number_of, records_of
from fedlab.workload.workload import Configuration

Kind = Literal["model", "delta", "gradient", "scalars"]
KINDS: tuple[str, ...] = get_args(Kind)
MODELS_ONLY: frozenset[str] = frozenset({"model"})
_KIND = "kind"


@dataclass(frozen=True, kw_only=True, eq=False)
class Update:
    """What one client has sent, or is still sending until `arrives_seconds` of simulated time.

    A `model` is trained arrays; a `delta` their difference to what the client was sent; a `gradient` that of the loss
    there, of the same names and shapes; `scalars` are one vector. `configuration` is what was trained: of two
    configurations the arrays may be alike.
    """

    kind: Kind = "model"
    arrays: Arrays
    num_examples: float
    node_id: int = 0
    arrives_seconds: float = 0.0
    configuration: Configuration = field(default_factory=dict)

    def state(self) -> dict[str, Any]:
        """Return it as a checkpoint holds it."""
        return vars(self) | {"configuration": dict(self.configuration)}


def restored(state: Mapping[str, Any]) -> Update:
    """Return an update as a checkpoint held it."""
    return Update(**state)


def kind_of(content: RecordDict) -> str:
    """Return the kind a reply says its arrays are."""
    return str(config_of(content, "config").get(_KIND, "model"))


def add_kind(content: RecordDict, kind: Kind) -> None:
    """Write on a reply of which kind its arrays are; a model goes without saying."""
    if kind != "model":
        content["config"] = ConfigRecord({_KIND: kind})


def read_update(reply: Message, *, configuration: Configuration, arrives_seconds: float) -> Update:
    """Return the update in a reply that was checked; its arrays are views of the reply's bytes."""
    return Update(
        kind=cast("Kind", kind_of(reply.content)),
        arrays=views_of(next(iter(records_of(reply.content, ArrayRecord).values()))),
        num_examples=number_of(next(iter(records_of(reply.content, MetricRecord).values()))[NUM_EXAMPLES]),
        node_id=reply.metadata.src_node_id,
        arrives_seconds=arrives_seconds,
        configuration=configuration,
    )
