"""FwdLLM: federated fine-tuning without backpropagation, paced by the variance of its gradients.

Source: "FwdLLM: Efficient Federated Finetuning of Large Language Models with Perturbed Inferences", USENIX ATC 2024
(https://arxiv.org/abs/2308.13894).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, get_args

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid

from fedlab.errors import UserError
from fedlab.gradients.directions import Distribution
from fedlab.gradients.sums import Probed
from fedlab.gradients.vectors import size_of_layout, spans_of
from fedlab.messages.probes import StepOrder
from fedlab.messages.updates import Update
from fedlab.results.records import StepRecord
from fedlab.server.context import Server
from strategies.base import AttachedStrategy, takes_options_of
from strategies.pacing import Judgement, Pacing, Pool
from strategies.sampling import cosines, shared_out
from strategies.split_layers import spans_of_clients
from strategies.steps import StepOptions, Steps

if TYPE_CHECKING:
    import numpy as np

_MOST_PROBES = 100_000


@dataclass(frozen=True, kw_only=True)
class FwdLLMOptions(StepOptions):
    """The options of FwdLLM: those of `StepOptions` and `strategies.pacing.Pacing`, and which directions are probed.

    Each client probes `probes` directions of a `distribution` at a time. The variance is that of the array `watched`,
    by default of all. Of a `sampling_ratio` below 1 that many of the candidates are kept, in every other step (0.1 in
    FwdLLM). With `shared_seeds` all clients probe the same directions (BAFFLE), so that only sums over them need be
    known. With `blocks_a_client` above 0 each client moves the values of that many blocks and the head (Spry).
    Raises ValueError for a value that cannot be.
    """

    probes: int = 1
    distribution: Distribution = "gaussian"
    pacing: str = "cosine"
    threshold: float | None = None
    most_cycles: int = 5
    watched: str = ""
    sampling_ratio: float = 1.0
    shared_seeds: bool = False
    blocks_a_client: int = 0

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        if not 1 <= self.probes <= _MOST_PROBES:
            raise ValueError(f"probes: {self.probes}, expected 1 to {_MOST_PROBES}")
        if self.distribution not in get_args(Distribution):
            accepted = ", ".join(get_args(Distribution))
            raise ValueError(f"distribution: {self.distribution!r}, expected one of {accepted}")
        if not 0.001 <= self.sampling_ratio <= 1:
            raise ValueError(f"sampling_ratio: {self.sampling_ratio}, expected 0.001 to 1, which keeps all candidates")
        if self.blocks_a_client < 0:
            raise ValueError(f"blocks_a_client: {self.blocks_a_client}, expected a number of blocks, or 0 for all")
        if self.sampling_ratio < 1 and (self.shared_seeds or self.blocks_a_client):
            raise ValueError("sampling_ratio: below 1 it goes with neither shared_seeds nor blocks_a_client")
        _ = self.pace  # which raises what is wrong with it

    @property
    def pace(self) -> Pacing:
        """Return the rule by which a step is made or asked for again."""
        return Pacing(
            pacing=self.pacing,  # type: ignore[arg-type]
            threshold=self.threshold,
            most_cycles=self.most_cycles,
        )


class FwdLLM(AttachedStrategy):
    """Ask a cohort for derivatives along random directions, and step once there are enough of them.

    A server round is one exchange of messages: the first of a step sends the model, and the clients answer derivatives,
    whose directions the server knows by their seeds. While `strategies.pacing.Pacing` finds that they are too few, the
    same clients are asked for more at the same model and batch, which sends no arrays either way to those that have
    kept the model.

    The options are those of `FwdLLMOptions`. Each exchange is recorded as a `fedlab.results.records.StepRecord`.
    """

    takes = frozenset({"scalars"})

    @takes_options_of(FwdLLMOptions)
    def __init__(self, **options: Any) -> None:
        self._rules = FwdLLMOptions(**options)
        self.clients_per_round = self._rules.clients_per_round
        self._steps = Steps(self._rules)
        self.max_scalars = self._rules.probes
        self._order = StepOrder(step=0)
        self._pool: Pool | None = None  # of the step that is asked for again
        self._reference: np.ndarray | None = None  # the gradient of the last step, if its directions were plain

    def attach(self, server: Server) -> None:
        """Store the server's side of the run."""
        super().attach(server)
        self._steps.server = server

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask for a new step, or for more of the last one."""
        self._steps.begin(arrays, config)
        present = self._steps.present(list(grid.get_node_ids())) if self._pool is not None else []
        if present:
            self._order = self._completed(replace(self._order, cycle=self._order.cycle + 1), present)
            return self._steps.messages(present, server_round, arrays, self._order, kept=True)
        self._pool = None  # of a step whose clients have all gone
        nodes = self._steps.next_cohort(grid)
        order = replace(
            self._steps.next_step(),
            probes=self._rules.probes,
            distribution=self._rules.distribution,
            shared=self._rules.shared_seeds,
            keeps=self._rules.pace.repeats,
        )
        self._order = self._completed(order, nodes)
        return self._steps.messages(nodes, server_round, arrays, self._order)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the model after a step, None if more derivatives are asked for or there are too few replies."""
        updates = [update for update in self._steps.updates(replies) if self._is_answer(update)]
        if not self._steps.are_enough(updates):
            return None, None
        pool = self._pool or Pool(size=self._size, distribution=self._order.distribution)
        pool = pool.added([probed for update in updates for probed in self._probed(update)])
        judged = self._rules.pace.judge(pool, self._watched())
        self._record(server_round, pool, judged, len(updates))
        if judged.verdict == "repeated":
            self._pool = pool
            return None, None
        gradient = pool.mean()
        guided = bool(self._order.chosen)
        self._reference = gradient if self._rules.sampling_ratio < 1 and not guided else None
        self._pool = None
        return self._steps.stepped(gradient), None

    def state(self) -> dict[str, Any]:
        """Return what the next exchange depends on; of a pool the seeds and derivatives, its sums follow from them."""
        pool = None if self._pool is None else [[vars(each) for each in cycle] for cycle in self._pool.probes]
        order = vars(self._order)
        return self._steps.state() | {"order": order, "pool": pool, "size": self._size, "reference": self._reference}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        self._steps.restore(state)
        self._order, self._reference = StepOrder(**state["order"]), state["reference"]
        self._pool = None
        if state["pool"] is not None:
            cycles = [[Probed(**each) for each in cycle] for cycle in state["pool"]]
            self._pool = Pool.of(state["size"], self._order.distribution, cycles)

    @property
    def _size(self) -> int:
        return size_of_layout(self._steps.layout)

    def _completed(self, order: StepOrder, nodes: Sequence[int]) -> StepOrder:
        """Return an order with what depends on who is asked: the candidates that are kept, and who moves what."""
        partitions = [self.server.partitions[node] for node in nodes]
        rules = self._rules
        if rules.blocks_a_client:
            spans = spans_of_clients(self._steps.layout, self._steps.cohort, rules.blocks_a_client)
            return replace(order, spans={partition: spans[partition] for partition in partitions})
        if rules.sampling_ratio == 1 or self._reference is None or not self._reference.any():
            return replace(order, chosen={})
        count = round(len(partitions) * rules.probes / rules.sampling_ratio)
        every = replace(order, shared=True, chosen={}, probes=count).seeds(self.server.seed, 0)
        ranks = cosines(every, self._reference, rules.distribution)
        return replace(order, shared=True, chosen=shared_out(ranks, partitions, rules.probes))

    def _is_answer(self, update: Update) -> bool:
        """Tell whether a reply has a derivative for each direction asked for; note in the ledger if not."""
        count = next(iter(update.arrays.values())).size
        if count != self._order.probes:
            reason = f"turned away: has {count} derivatives, {self._order.probes} were asked for"
            self.server.ledger.refuse(self.server.partitions[update.node_id], reason)
        return count == self._order.probes

    def _probed(self, update: Update) -> list[Probed]:
        partition = self.server.partitions[update.node_id]
        seeds = self._order.seeds(self.server.seed, partition)
        derivatives = next(iter(update.arrays.values())).tolist()
        spans = self._order.spans.get(partition, ())
        return [Probed(seed=seed, derivative=each, spans=spans) for seed, each in zip(seeds, derivatives, strict=True)]

    def _watched(self) -> slice:
        """Return the values whose variance is watched; raises UserError if there is no such array."""
        spans = spans_of(self._steps.layout)
        if self._rules.watched and self._rules.watched not in spans:
            raise UserError(
                f"strategy.options.watched = '{self._rules.watched}': no such array is trained; accepted: "
                + ", ".join(spans)
            )
        return spans.get(self._rules.watched, slice(None))

    def _record(self, server_round: int, pool: Pool, judged: Judgement, clients: int) -> None:
        bills = self.server.ledger.clients
        self.server.on_step(
            StepRecord(
                server_round=server_round,
                step=self._order.step,
                cycle=self._order.cycle,
                clients=clients,
                probes=pool.count,
                guided=bool(self._order.chosen),
                variance=judged.variance,
                cosine=judged.cosine,
                verdict=judged.verdict,
                bytes_down=sum(bill.bytes_down for bill in bills),
                bytes_up=sum(bill.bytes_up for bill in bills),
            )
        )
