"""FwdLLM's minutes by the number of perturbations: paced by variance, fixed, by a schedule, and with sampling."""

from dataclasses import replace
from pathlib import Path

from fedlab.config.schema import BackboneTable
from fedlab.estimate.fwdllm.bill import bill, terms_of
from fedlab.estimate.fwdllm.rounds import RoundsSegment
from fedlab.models.sizes import read_sizes
from fedlab.paper.cells import PaperCell, Section
from fedlab.paper.fwdllm.billed import after_pacing, after_rounds, minutes, slot_of
from fedlab.paper.fwdllm.figures import FwdllmFigures, GlobalPs

_BACKBONE, _TASK = "distilbert-base", "AGNEWS"
_SAMPLED_BACKBONE = "bert-base"
_SHARES = ("99%", "95%", "90%", "80%", "60%", "40%")
_ALL = "100%"  # published of a few rows alone
_FIXED_CLIENTS = 10


def pacing(figures: FwdllmFigures) -> list[Section]:
    """Return the minutes by evaluations of a client, by fixed and scheduled Global-PS, and by sampling."""
    return [_paced(figures), _global_ps(figures), _sampling(figures)]


def _paced(figures: FwdllmFigures) -> Section:
    cells: list[PaperCell] = []
    for each in figures.pacing:
        slot = slot_of(each.backbone, "forward", figures.tasks[_TASK])
        found = after_pacing(slot, each.rounds, each.evaluations)
        row = f"{each.backbone} {each.accuracy:g}: {each.evaluations:,} evaluations, {each.rounds} rounds"
        a_step = each.evaluations / (each.rounds * slot.batches)
        cells.append(PaperCell(row=row, column="evaluations a step", ours=a_step))
        cells.append(PaperCell(row=row, column="min", ours=minutes(found)))
    title = "Pacing by variance, AGNEWS, 100 clients, NPU (the counts are published, not the minutes)"
    return Section(title=title, unit="min", cells=tuple(cells))


def _global_ps(figures: FwdllmFigures) -> Section:
    cells = [cell for each in figures.global_ps for cell in _fixed(figures, each)]
    plan, slot = figures.schedule, slot_of(_BACKBONE, "forward", figures.tasks[_TASK])
    for share in (*_SHARES, _ALL):
        rounds, paper = plan.rounds.get(share), plan.minutes[share]
        ours = None if rounds is None else minutes(bill(scheduled(plan.segments, rounds), slot))
        note = "not rebuilt" if ours is None else ""
        cell = PaperCell(row="1, 3, 5, 10 each", column=share, ours=ours, paper=paper, note=note)
        cells.append(replace(cell, inferred=ours is not None))
    title = "Minutes to shares of 85% by Global-PS, DistilBERT on AGNEWS, 10 clients, NPU"
    return Section(title=title, unit="min", cells=tuple(cells))


def _fixed(figures: FwdllmFigures, each: GlobalPs) -> list[PaperCell]:
    slot = slot_of(_BACKBONE, "forward", figures.tasks[_TASK])
    cells: list[PaperCell] = []
    for share in (*_SHARES, *({_ALL} & each.rounds.keys())):
        row = str(_FIXED_CLIENTS * each.perturbations)
        if share not in each.rounds:
            cells.append(PaperCell(row=row, column=share, ours=None, note="never"))
            continue
        ours = minutes(after_rounds(slot, each.rounds[share], each.perturbations))
        paper = each.minutes.get(share)
        cells.append(PaperCell(row=row, column=share, ours=ours, paper=paper, inferred=each.inferred))
    return cells


def scheduled(segments: tuple[tuple[int, int], ...], rounds: int) -> list[RoundsSegment]:
    """Return the first rounds of a schedule, whose segments are a last round and its perturbations each."""
    firsts = [1, *(last + 1 for last, _ in segments)]
    return [
        RoundsSegment(first, min(last, rounds), each)
        for first, (last, each) in zip(firsts, segments, strict=False)
        if first <= rounds
    ]


def _sampling(figures: FwdllmFigures) -> Section:
    task = figures.tasks[_TASK]
    slot = slot_of(_SAMPLED_BACKBONE, "forward", task)
    terms = terms_of(slot)
    hidden = read_sizes(BackboneTable(name=_SAMPLED_BACKBONE), resolve=Path).shape.hidden
    smaller = terms.parameters - task.labels * hidden  # without the classifier's weight
    share = smaller / terms.parameters
    fewer = replace(
        terms,
        parameters=smaller,
        transfer_bytes=round(terms.transfer_bytes * share),
        transfer_seconds=terms.transfer_seconds * share,
    )
    cells = [
        PaperCell(
            row=each.kept,
            column="min",
            ours=minutes(after_rounds(slot, each.rounds, terms=terms if each.trains_classifier_weight else fewer)),
            paper=each.minutes,
            inferred=True,
        )
        for each in figures.sampling
    ]
    return Section(title="Minutes to 84.5% by candidates kept, BERT on AGNEWS, NPU", unit="min", cells=tuple(cells))
