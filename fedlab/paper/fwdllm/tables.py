"""FwdLLM's minutes, joules and bytes, recomputed from its counts by its cost model."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from fedlab.devices.costmodel.projections import trained_weights
from fedlab.estimate.fwdllm.bill import FwdllmSlot, RoundsEstimate, terms_of
from fedlab.estimate.spec import FwdllmMethod
from fedlab.models.decoders import decoder_shape
from fedlab.paper.cells import PaperCell, Section
from fedlab.paper.fwdllm.billed import (
    GPU,
    METHODS,
    NAMES,
    NPU,
    after_evaluations,
    after_pacing,
    after_rounds,
    minutes,
    slot_of,
)
from fedlab.paper.fwdllm.figures import FwdllmFigures, Skew, Target
from fedlab.paper.fwdllm.memory import memory
from fedlab.paper.fwdllm.pacing import pacing
from fedlab.workload.passes import lora

_BACKBONE, _TASK = "distilbert-base", "AGNEWS"
_NEVER, _UNKNOWN = "never", "not rebuilt"
_GIB = 1024**3


def time(figures: FwdllmFigures) -> list[Section]:
    """Return the minutes to the targets, what is said of them, FedAvg's, those with skewed labels, and LLaMA's."""
    return [
        _targets(figures), _speedups(figures), _transfers(figures), _fedavg(figures), _skew(figures), _formats(figures),
        *_decoder(figures),
    ]  # fmt: skip


def energy(figures: FwdllmFigures) -> list[Section]:
    """Return the joules to a target, of one client and of all that are billed."""
    panel = figures.energy
    cells: list[PaperCell] = []
    for method in METHODS:
        for processor in (NPU, GPU, "cpu") if method == "forward" else ("cpu",):
            slot = slot_of(_BACKBONE, method, figures.tasks[_TASK], processor)
            rounds = panel.rounds[method]
            if method == "forward":
                found = after_pacing(slot, rounds, panel.forward_evaluations)
            else:
                found = after_rounds(slot, rounds)
            row = f"{NAMES[method]} on the {processor.upper()}, {rounds} rounds"
            cells += _joules(row, found, slot, figures.network.clients)
    title = f"Energy to {panel.accuracy:.0%}, DistilBERT on AGNEWS, Pixel 7 Pro (the joules are drawn, not printed)"
    return [Section(title=title, unit="kJ", cells=tuple(cells))]


def network(figures: FwdllmFigures) -> list[Section]:
    """Return the bytes to a target, of one client and of all that are billed."""
    panel = figures.network
    cells: list[PaperCell] = []
    for method, rounds in panel.rounds.items():
        found = after_rounds(slot_of(_BACKBONE, method, figures.tasks[_TASK]), rounds).estimate
        gigabytes = (found.bytes_down + found.bytes_up) / _GIB
        row = f"{NAMES[method]}, {rounds} rounds"
        cells.append(PaperCell(row=row, column="a client", ours=gigabytes))
        cells.append(PaperCell(row=row, column=f"{panel.clients} clients", ours=panel.clients * gigabytes))
    title = f"Traffic to {panel.accuracy:.0%}, DistilBERT on AGNEWS, Pixel 7 Pro (the bytes are drawn, not printed)"
    return [Section(title=title, unit="1024^3 bytes", cells=tuple(cells))]


def scaling(figures: FwdllmFigures) -> list[Section]:
    """Return the minutes by the number of clients in a round."""
    panel, task = figures.scaling, figures.tasks[_TASK]
    cells: list[PaperCell] = []
    for place, clients in enumerate(panel.clients):
        for method, published in panel.minutes.items():
            found = after_rounds(slot_of(_BACKBONE, method, task), panel.rounds[method][place])
            cell = PaperCell(
                row=NAMES[method], column=str(clients), ours=minutes(found), paper=published[place], inferred=True
            )
            cells.append(cell)
        each = panel.global_ps[place] / clients
        found = after_rounds(slot_of(_BACKBONE, "forward", task), panel.forward[place], each)
        cells.append(PaperCell(row="FwdLLM (NPU)", column=str(clients), ours=minutes(found), note=f"{each:g} each:"))
    title = "Minutes to 86% by clients in a round, DistilBERT on AGNEWS, Pixel 7 Pro"
    return [Section(title=title, unit="min", cells=tuple(cells))]


FWDLLM_TABLES: Mapping[str, Callable[[FwdllmFigures], list[Section]]] = {
    "fwdllm-time": time,
    "fwdllm-energy": energy,
    "fwdllm-network": network,
    "fwdllm-memory": memory,
    "fwdllm-pacing": pacing,
    "fwdllm-scaling": scaling,
}


def _joules(row: str, found: RoundsEstimate, slot: FwdllmSlot, clients: int) -> list[PaperCell]:
    kilojoules = found.estimate.joules / 1e3
    minutes_of = {"computing, min": found.compute_seconds / 60, "transfers, min": found.transfer_seconds / 60}
    parts = [PaperCell(row=row, column=column, ours=value) for column, value in minutes_of.items()]
    return [
        *parts,
        PaperCell(row=row, column="a client", ours=kilojoules),
        PaperCell(row=row, column=f"{clients} clients", ours=clients * kilojoules),
    ]


def _minutes_of(figures: FwdllmFigures, target: Target, method: FwdllmMethod, processor: str = NPU) -> float | None:
    """Return the minutes to a target, None where a method never reaches it."""
    if method not in target.evaluations:
        return None
    slot = slot_of(target.backbone, method, figures.tasks[target.task], processor)
    return minutes(after_evaluations(slot, target.evaluations[method]))


def _targets(figures: FwdllmFigures) -> Section:
    cells: list[PaperCell] = []
    for target in figures.targets:
        row = f"{target.name} {target.accuracy:g}"
        for method in METHODS:
            column = NAMES[method] + (" (NPU)" if method == "forward" else "")
            ours, paper = _minutes_of(figures, target, method), target.minutes.get(method)
            cells.append(PaperCell(row=row, column=column, ours=ours, paper=paper, note="" if ours else _NEVER))
        ours = _minutes_of(figures, target, "forward", GPU)
        cells.append(PaperCell(row=row, column="FwdLLM (GPU)", ours=ours, paper=target.forward_gpu))
    return Section(title="Minutes to the target accuracy, Pixel 7 Pro, 10 Mb/s", unit="min", cells=tuple(cells))


def _speedups(figures: FwdllmFigures) -> Section:
    of = {target.name: partial(_minutes_of, figures, target) for target in figures.targets}
    ratios: list[float] = []
    for each in of.values():
        others = [each(method) for method in ("adapter", "bitfit", "fedadapter")]
        forward = each("forward")
        assert forward, "forward reaches every target"
        ratios.append(sum(value for value in others if value) / len(others) / forward)
    said = figures.speedups
    mean = sum(ratios) / len(ratios)
    cells = [PaperCell(row="mean of adapter, BitFit and FedAdapter", column="x", ours=mean, paper=said.mean_of_three)]
    for name, paper in said.full.items():
        full, forward = of[name]("full"), of[name]("forward")
        assert full, "it reaches this target"
        assert forward, "forward reaches every target"
        cells.append(PaperCell(row=f"FT, {name}", column="x", ours=full / forward, paper=paper))
    return Section(title="How many times as long as FwdLLM (NPU)", unit="times", cells=tuple(cells))


def _transfers(figures: FwdllmFigures) -> Section:
    """Return what the transfers of a step take, which is most of the time of full fine-tuning."""
    cells: list[PaperCell] = []
    for method in METHODS:
        slot = slot_of(_BACKBONE, method, figures.tasks[_TASK])
        terms = terms_of(slot)
        seconds = terms.transfers * terms.transfer_seconds / slot.batches
        cells += [
            PaperCell(row=NAMES[method], column="parameters", ours=terms.parameters),
            PaperCell(row=NAMES[method], column="transfers, s", ours=seconds),
            PaperCell(row=NAMES[method], column="computing, s", ours=terms.batch_seconds),
        ]
    return Section(title="A step of DistilBERT on AGNEWS, FwdLLM on the NPU", unit="s", cells=tuple(cells))


def _fedavg(figures: FwdllmFigures) -> Section:
    cells: list[PaperCell] = []
    for row in figures.fedavg:
        for name, task in figures.tasks.items():
            if name not in row.evaluations:
                cells.append(PaperCell(row=row.backbone, column=name, ours=None, note=_NEVER))
                continue
            found = after_evaluations(slot_of(row.backbone, "fedavg", task), row.evaluations[name])
            cells.append(PaperCell(row=row.backbone, column=name, ours=minutes(found), paper=row.minutes.get(name)))
    return Section(title="FedAvg with adapters, minutes to its targets", unit="min", cells=tuple(cells))


def _skew(figures: FwdllmFigures) -> Section:
    cells = [
        PaperCell(
            row=f"{row.backbone} {row.accuracy:g}, {NAMES[row.method]}",
            column=column,
            ours=_one_way_minutes(figures, row, rounds),
            paper=paper,
            inferred=True,
        )
        for row in figures.skew
        for column, rounds, paper in zip(("IID", "non-IID"), row.rounds, row.minutes, strict=True)
    ]
    title = "Minutes with skewed labels, AGNEWS, one-way traffic, FwdLLM on the NPU"
    return Section(title=title, unit="min", cells=tuple(cells))


def _one_way_minutes(figures: FwdllmFigures, row: Skew, rounds: int) -> float:
    slot = slot_of(row.backbone, row.method, figures.tasks[_TASK])
    terms = replace(terms_of(slot), transfers=slot.batches, sends_up=False)
    return minutes(after_rounds(slot, rounds, terms=terms))


def _formats(figures: FwdllmFigures) -> Section:
    slot = slot_of(_BACKBONE, "forward", figures.tasks[_TASK])
    names = {"fp32": "floating point", "int8": "INT8"}
    cells = [
        PaperCell(
            row=f"{names[each]}, {rounds} rounds",
            column="min",
            ours=minutes(after_rounds(replace(slot, format=each), rounds)),
        )
        for each, rounds in figures.formats.items()
    ]
    title = "FwdLLM to 85% on the NPU by number format, DistilBERT on AGNEWS"
    return Section(title=title, unit="min", cells=tuple(cells))


def _decoder(figures: FwdllmFigures) -> list[Section]:
    """Return LLaMA's seconds from one evaluation to the next; its hours in Table 7 have no counts."""
    given = figures.llama
    shape = decoder_shape(given.backbone)
    trained = trained_weights(lora(given.rank, given.targets), shape, shape.blocks)
    one_way = 4 * trained / given.bytes_per_second
    step = {
        "forward": given.inferences * given.inference_seconds + one_way,
        "backpropagation": given.backpropagation_seconds,  # billed without traffic
    }
    cells = [PaperCell(row="one transfer", column="s", ours=one_way, paper=given.one_way_seconds)]
    cells += [
        PaperCell(row=f"{name}, {given.steps[name]} steps", column="s", ours=given.steps[name] * seconds, paper=paper)
        for (name, seconds), paper in zip(step.items(), given.evaluation_seconds.values(), strict=True)
    ]
    hours = [
        PaperCell(row=name, column="h", ours=None, paper=paper, note=_UNKNOWN) for name, paper in given.hours.items()
    ]
    return [
        Section(title="LLaMA-7B with LoRA, from one evaluation to the next", unit="s", cells=tuple(cells)),
        Section(title="LLaMA-7B, table 7 (its seconds and counts are not published)", unit="h", cells=tuple(hours)),
    ]
