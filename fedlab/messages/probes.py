"""What an order for one step of gradient descent says besides the model: which batch, and which directions to probe.

The record `step` of an order to train has `step`, `cycle`, `period` and `batch`; where directions are asked for also
`probes` and `distribution`, and what chooses among them. A reply with derivatives is an update of the kind `scalars`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict

from fedlab.common.arrays import Arrays
from fedlab.errors import UserError
from fedlab.gradients.directions import DISTRIBUTIONS, Distribution, probe_seed
from fedlab.messages.pack import config_of, from_record, records_of

_KEY = "step"


@dataclass(frozen=True, kw_only=True)
class StepOrder:
    """One step: `batch` of the order of batches that is drawn for a `period`, and `probes` directions for each client.

    A step is asked for again, with the same batch, at a higher `cycle`. Directions are told apart by step, cycle,
    partition and probe. With `shared` all clients probe the directions of partition 0. `chosen` says which candidates
    a partition is to probe; by default these are 0 to `probes` - 1. `spans` say which values move, from and to, by
    partition; by default all. With `keeps` a client keeps the model, for orders that do not send it again.
    """

    step: int
    cycle: int = 0
    period: int = 0
    batch: int = 0
    probes: int = 0
    distribution: Distribution = "gaussian"
    shared: bool = False
    keeps: bool = False
    chosen: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    spans: Mapping[int, tuple[tuple[int, int], ...]] = field(default_factory=dict)

    def seeds(self, seed: int, partition: int) -> list[int]:
        """Return the seeds of the directions that a partition probes, by the seed of the experiment."""
        return [
            probe_seed(
                seed, step=self.step, cycle=self.cycle, partition=0 if self.shared else partition, probe=candidate
            )
            for candidate in self.chosen.get(partition, range(self.probes))
        ]


def add_step(content: RecordDict, order: StepOrder) -> None:
    """Write on an order which step it is for."""
    record = ConfigRecord({"step": order.step, "cycle": order.cycle, "period": order.period, "batch": order.batch})
    if order.probes:
        record["probes"], record["distribution"] = order.probes, order.distribution
    for flag in ("shared", "keeps"):
        if getattr(order, flag):
            record[flag] = True
    if order.chosen:
        record["partitions"] = list(order.chosen)
        record["chosen"] = [each for candidates in order.chosen.values() for each in candidates]
    for partition, spans in order.spans.items():
        record[f"spans-{partition}"] = [bound for span in spans for bound in span]
    content[_KEY] = record


def read_step(message: Message) -> StepOrder | None:
    """Return which step an order is for, None if it does not say; raises UserError if it cannot be read."""
    record = config_of(message.content, _KEY)
    if not record:
        return None
    try:
        return _read(dict(record))
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise UserError(f"the order's step cannot be read: {type(error).__name__}: {error}") from error


def arrays_of(message: Message) -> Arrays | None:
    """Return the model that an order sends, None if it sends none."""
    record = records_of(message.content, ArrayRecord).get("arrays")
    return None if record is None else from_record(record)


def _read(record: dict[str, object]) -> StepOrder:
    numbers = {name: _whole(record.get(name, 0)) for name in ("step", "cycle", "period", "batch", "probes")}
    distribution = record.get("distribution", "gaussian")
    if distribution not in DISTRIBUTIONS:
        raise ValueError(f"distribution {distribution!r}, accepted: {', '.join(DISTRIBUTIONS)}")
    partitions, chosen = _list(record.get("partitions", [])), _list(record.get("chosen", []))
    each = len(chosen) // len(partitions) if partitions else 0
    spans = {name: _list(bounds) for name, bounds in record.items() if name.startswith("spans-")}
    return StepOrder(
        **numbers,
        distribution=distribution,  # type: ignore[arg-type]
        shared=bool(record.get("shared", False)),
        keeps=bool(record.get("keeps", False)),
        chosen={who: tuple(chosen[at * each : (at + 1) * each]) for at, who in enumerate(partitions)},
        spans={
            int(name.removeprefix("spans-")): tuple(zip(bounds[::2], bounds[1::2], strict=True))
            for name, bounds in spans.items()
        },
    )


def _whole(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is not a whole number from 0 up")
    return value


def _list(value: object) -> list[int]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is not a list")
    return [_whole(each) for each in value]
