"""Mandheling's hours and watt-hours, recomputed from its rounds by the cost model of convolutional networks."""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from fedlab.devices.conv_rates import ConvFormat
from fedlab.devices.costmodel.cnn import BatchPrice, batch_price
from fedlab.devices.profile import DeviceProfile, load_profile
from fedlab.models.cnn.named import convnet
from fedlab.paper.cells import PaperCell, Section
from fedlab.paper.mandheling.figures import (
    ByTrainingMethod,
    Centralised,
    Federated,
    MandhelingFigures,
    TrainingMethod,
)

_SECONDS_OF_AN_HOUR = 3600
_TRANSFERS = 2  # of a model in a round: down and up
_TRAINING = 6  # operations of training for each multiply-add: two each, forward and twice backward


class TrainedBy(NamedTuple):
    """How a method trains: the processor, the number format, and the bytes of a weight that is sent."""

    words: str
    processor: str
    number_format: ConvFormat
    weight_bytes: int


METHODS: Mapping[TrainingMethod, TrainedBy] = {
    "fp32": TrainedBy("MNN-FP32", "cpu", "fp32", 4),
    "int8": TrainedBy("MNN-INT8", "cpu", "int8", 1),
    "mandheling": TrainedBy("Mandheling", "dsp", "int8", 1),
}


def table6(figures: MandhelingFigures) -> list[Section]:
    """Return Table 6: operations and convolutions of the networks, and what a batch gains on the three phones."""
    return [_networks(figures), _gains(figures), *_by_phone(figures)]


def table8(figures: MandhelingFigures) -> list[Section]:
    """Return Table 8 from its rounds, the batches that its hours come to, and MNN's training on phones."""
    return [
        _batches(figures), _in_all(figures, "hours", "h"), _in_all(figures, "watt_hours", "Wh"),
        _milliseconds(figures), *_memory(figures),
    ]  # fmt: skip


MANDHELING_TABLES: Mapping[str, Callable[[MandhelingFigures], list[Section]]] = {
    "mandheling-table6": table6,
    "mandheling-table8": table8,
}


def _price(device: str, network: str, batch_size: int, method: TrainingMethod, labels: int | None = None) -> BatchPrice:
    by = METHODS[method]
    shape = convnet(network, labels=labels)
    return batch_price(_profile(device), shape, batch_size, processor=by.processor, number_format=by.number_format)


@cache  # placements are remembered by the processors of a profile
def _profile(device: str) -> DeviceProfile:
    return load_profile(device, Path())


def _networks(figures: MandhelingFigures) -> Section:
    cells: list[PaperCell] = []
    for row in figures.networks:
        shape = convnet(row.name)
        ours = _TRAINING * shape.macs / 1e6
        cells += [
            PaperCell(row=row.printed, column="million operations", ours=ours, paper=row.million_operations),
            PaperCell(row=row.printed, column="convolutions", ours=shape.convolutions, paper=float(row.convolutions)),
            PaperCell(row=row.printed, column="million multiply-adds", ours=shape.macs / 1e6),
            PaperCell(row=row.printed, column="million parameters", ours=shape.parameters / 1e6),
        ]
    title = "Table 6: operations of training one sample, 6 for each multiply-add"
    return Section(title=title, unit="number of", cells=tuple(cells))


def _gains(figures: MandhelingFigures) -> Section:
    said, ratios = figures.speedups, _ratios(figures)
    times, joules = zip(*ratios, strict=True)
    cells = [
        PaperCell(row="time", column="mean", ours=mean(times), paper=said.mean_time),
        PaperCell(row="time", column="most", ours=max(times), paper=said.most_time),
        PaperCell(row="energy", column="mean", ours=mean(joules), paper=said.mean_energy),
        PaperCell(row="energy", column="most", ours=max(joules), paper=said.most_energy),
    ]
    return Section(title="A batch of 64: how many times Mandheling's", unit="times", cells=tuple(cells))


def _ratios(figures: MandhelingFigures) -> list[tuple[float, float]]:
    """Return what the two baselines on the CPU take over Mandheling, in time and in energy."""
    found: list[tuple[float, float]] = []
    for device in figures.speedups.devices:
        for row in figures.networks:
            ours = _price(device, row.name, figures.batch_size, "mandheling")
            for method in ("fp32", "int8"):
                base = _price(device, row.name, figures.batch_size, method)
                found.append((base.seconds.value / ours.seconds.value, base.joules.value / ours.joules.value))
    return found


def _by_phone(figures: MandhelingFigures) -> Iterable[Section]:
    for device in figures.speedups.devices:
        cells = tuple(
            PaperCell(
                row=row.printed,
                column=METHODS[method].words,
                ours=_price(device, row.name, figures.batch_size, method).seconds.value,
            )
            for row in figures.networks
            for method in METHODS
        )
        yield Section(title=f"A batch of 64 on the {device} (figure 5 was not to be had)", unit="s", cells=cells)


def _batches(figures: MandhelingFigures) -> Section:
    cells: list[PaperCell] = []
    for row in figures.centralised:
        count = row.epochs * row.batches
        for method, by in METHODS.items():
            price = _price(figures.device, row.network, figures.batch_size, method, row.labels)
            seconds, joules = (_SECONDS_OF_AN_HOUR * each[method] / count for each in (row.hours, row.watt_hours))
            name = f"{row.network}, {by.words}"
            cells += [
                PaperCell(row=name, column="s", ours=price.seconds.value, paper=seconds),
                PaperCell(row=name, column="J", ours=price.joules.value, paper=joules),
                PaperCell(row=name, column="peak, MB", ours=price.peak_bytes.value / 1e6),
            ]
    title = f"A batch of {figures.batch_size} on the {figures.device}, and Table 8's hours over its batches"
    return Section(title=title, unit="s, J", cells=tuple(cells))


def _in_all(figures: MandhelingFigures, quantity: str, unit: str) -> Section:
    cells: list[PaperCell] = []
    tasks: tuple[Centralised | Federated, ...] = (*figures.centralised, *figures.federated)
    for row in tasks:
        published: ByTrainingMethod = getattr(row, quantity)
        for method, by in METHODS.items():
            cells.append(
                PaperCell(
                    row=f"{row.task} {row.network}",
                    column=by.words,
                    ours=_needs(figures, row, method)[quantity],
                    paper=published[method],
                    inferred=isinstance(row, Federated),
                )
            )
    words = quantity.replace("_", "-")
    return Section(
        title=f"Table 8: {words} of {figures.device}, from its epochs and rounds", unit=unit, cells=tuple(cells)
    )


def _needs(figures: MandhelingFigures, row: Centralised | Federated, method: TrainingMethod) -> dict[str, float]:
    """Return the hours and watt-hours of a row."""
    if isinstance(row, Centralised):
        price = _price(figures.device, row.network, figures.batch_size, method, row.labels)
        count = row.epochs * row.batches / _SECONDS_OF_AN_HOUR
        return {"hours": count * price.seconds.value, "watt_hours": count * price.joules.value}
    price = _price(figures.device, row.network, row.batch_size, method, row.labels)
    weights = convnet(row.network, labels=row.labels).parameters * METHODS[method].weight_bytes
    a_round = row.batches[method] * price.seconds.value + _TRANSFERS * weights / row.bytes_per_second
    joules = row.energy_share[method] * row.batches[method] * price.joules.value
    rounds = row.rounds[method] / _SECONDS_OF_AN_HOUR
    return {"hours": rounds * a_round, "watt_hours": rounds * joules}


def _milliseconds(figures: MandhelingFigures) -> Section:
    cells: list[PaperCell] = []
    for device, networks in figures.mnn.milliseconds.items():
        for network, published in networks.items():
            for batch_size, paper in zip(figures.mnn.batches, published, strict=True):
                ours = 1e3 * _price(device, network, batch_size, "fp32").seconds.value
                cells.append(PaperCell(row=f"{device} {network}", column=f"batch {batch_size}", ours=ours, paper=paper))
    return Section(title="MNN's training in FP32 on the CPU", unit="ms", cells=tuple(cells))


def _memory(figures: MandhelingFigures) -> list[Section]:
    given = figures.mnn.memory
    peaks: list[PaperCell] = []
    energy: list[PaperCell] = []
    for network, published in given.megabytes.items():
        prices = [_price(given.device, network, size, "fp32") for size in given.batches]
        columns = [f"batch {size}" for size in given.batches]
        for column, price, paper in zip(columns, prices, published, strict=True):
            peaks.append(PaperCell(row=network, column=column, ours=price.peak_bytes.value / 1e6, paper=paper))
        for column, price, joules in zip(columns, prices, given.joules.get(network, (None,) * 3), strict=True):
            energy.append(PaperCell(row=network, column=column, ours=price.joules.value, paper=joules))
    return [
        Section(title=f"Resident memory, {given.device}", unit="MB", cells=tuple(peaks)),
        Section(title=f"Energy of a batch, {given.device}", unit="J", cells=tuple(energy)),
    ]
