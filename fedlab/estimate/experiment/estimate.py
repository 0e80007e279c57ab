"""What a planned experiment costs, on the assumptions that this takes, and how that is shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType

from fedlab.config.schema import Experiment
from fedlab.errors import UserError
from fedlab.estimate.experiment.dry_run import ExperimentPlan, PlannedRun, dry_run
from fedlab.estimate.experiment.plan import plan_of
from fedlab.estimate.experiment.report import PlannedCost, cost_of_run, plain_cost, render_cost
from fedlab.estimate.experiment.trial_outcomes import cheapest, dearest, following
from fedlab.estimate.trajectory import Segment
from fedlab.server.bench import initial_set

_TRAINED = {  # built-in sets in words; one of a user's own is called by its name
    "bottleneck": "adapters",
    "lora": "LoRA",
    "bias": "biases",
    "head": "the head",
    "blocks": "whole blocks",
    "everything": "all weights",
}
_FIXED = "one configuration throughout"
_CHEAPEST = "every trial is won by the group that stays as it is"
_DEAREST = "every trial is won by the largest group"
_FOLLOWED = "every trial is won by the group nearest to the trajectory"


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What an experiment costs on an assumption; where its trials could end otherwise, the dearest way as well."""

    title: str
    assumption: str
    cost: PlannedCost
    dearest: PlannedCost | None = None

    def plain(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        found = {**plain_cost(self.cost), "assumption": self.assumption}
        if self.dearest is None:
            return found
        bounds = {"lower": plain_cost(self.cost), "upper": plain_cost(self.dearest)}
        return {**found, "bounds": {key: _totals(value) for key, value in bounds.items()}}

    def rendered(self) -> RenderableType:
        """Return tables."""
        first = render_cost(self.cost, f"{self.title}; {self.assumption}")
        if self.dearest is None:
            return first
        return Group(first, render_cost(self.dearest, f"{self.title}; {_DEAREST}"))


def estimate_experiment(
    experiment: Experiment, *, trajectory: Sequence[Segment] | None, batches: int | None, labels: int
) -> Planned:
    """Return what an experiment costs without training.

    Where its strategy searches, that depends on how trials end: as near as can be to the `trajectory`, or if there is
    none, the cheapest and the dearest way.

    Raises:
        UserError: the experiment cannot be planned; see `plan_of` and `dry_run`.
    """
    plan = plan_of(experiment, batches=batches, labels=labels)
    title = _title(experiment, plan)
    run = dry_run(plan, cheapest if trajectory is None else following(trajectory))
    if not run.searches and trajectory is not None:
        raise UserError(f"--trajectory: the strategy '{experiment.strategy.name}' has no trials that could follow it")
    if not run.searches:
        return Planned(title=title, assumption=_FIXED, cost=_cost(plan, run))
    if trajectory is not None:
        _check(trajectory, plan.sizes.shape.blocks)
        return Planned(title=title, assumption=_FOLLOWED, cost=_cost(plan, run))
    largest = _cost(plan, dry_run(plan, dearest))
    return Planned(title=title, assumption=_CHEAPEST, cost=_cost(plan, run), dearest=largest)


def _check(trajectory: Sequence[Segment], blocks: int) -> None:
    for segment in trajectory:
        if segment.depth > blocks:
            where = f"--trajectory: depth {segment.depth} up to round {segment.last_round}"
            raise UserError(f"{where}, expected 0 to {blocks}: the encoder has {blocks} blocks")


def _cost(plan: ExperimentPlan, run: PlannedRun) -> PlannedCost:
    return cost_of_run(run, initial_set(plan.experiment, plan.sizes.shape).configuration)


def _title(experiment: Experiment, plan: ExperimentPlan) -> str:
    counts = sorted(plan.num_examples)
    trained = _TRAINED.get(experiment.client.trained, experiment.client.trained)
    examples = str(counts[0]) if counts[0] == counts[-1] else f"{counts[0]} to {counts[-1]}"
    return (
        f"{experiment.name}: {experiment.strategy.name}, client {experiment.client.name} trains {trained} of "
        f"{experiment.backbone.name}; {len(counts)} clients of {examples} {_inputs(plan.work.input_shape)}"
    )


def _inputs(shape: tuple[int, ...]) -> str:
    return f"texts of {shape[0]} tokens" if len(shape) == 1 else f"images of {' x '.join(map(str, shape))}"


def _totals(plain: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of a slot alone."""
    return {key: plain[key] for key in ("seconds", "bytes_down", "bytes_up", "joules", "peak_memory_bytes")}
