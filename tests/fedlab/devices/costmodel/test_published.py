"""The roofline and the sum of memory's parts come near to what was published.

Each figure is in docs/concepts/cost-model.md.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from fedlab.devices.costmodel.calibration import TablePoint, fitted, relative_errors, seconds_of, table_points
from fedlab.devices.costmodel.memory import memory_parts
from fedlab.devices.costmodel.roofline import rates_of
from fedlab.devices.profile import load_profile
from fedlab.models.decoders import decoder_shape
from fedlab.workload.passes import WHOLE, TrainedSpec, bottleneck, lora
from fedlab.workload.shape import REFERENCE_SHAPES, ModelShape
from fedlab.workload.workload import Step, forward_passes, steps_of, training_passes

DOC = Path(__file__).parents[4] / "docs" / "concepts" / "cost-model.md"
FWDLLM = tomllib.loads((Path(__file__).parent / "fwdllm.toml").read_text())
TX2, RPI, PIXEL, ORIN = (
    load_profile(name, Path()) for name in ("jetson-tx2", "rpi-4b", "pixel-7-pro", "jetson-agx-orin")
)
TRAINED = {"whole": WHOLE, "adapter": bottleneck(48), "bias": TrainedSpec(kind="bias"), "lora": lora(8, ["q", "v"])}
WORDS = {
    "whole": "all weights", "adapter": "adapters of 48", "bias": "biases", "lora": "LoRA, rank 8 on q and v",
    "nothing": "inference", "forward": "inference, quoted",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Row:
    """A published row of FwdLLM, and the step that it is of; `value` is in bytes, or in seconds of one pass."""

    model: str
    trains: str
    format: str
    processor: str
    value: float
    step: Step
    shape: ModelShape


def step_of(shape: ModelShape, trains: str, batch_size: int, tokens: int, **on) -> Step:
    batch = {"batches": 1, "batch_size": batch_size, "input_shape": (tokens,), "model_blocks": shape.blocks, **on}
    whole = {"depth": shape.blocks, "trained": TRAINED[trains]} if trains in TRAINED else None
    [step] = steps_of(training_passes(**batch, **whole) if whole else forward_passes(**batch))
    return step


def rows(table: str) -> list[Row]:
    given, found = FWDLLM[table], []
    for row in given["rows"]:
        name, processor = row["model"], row.get("processor", "default")
        shape = REFERENCE_SHAPES.get(name) or decoder_shape(name)
        on = {"format": row.get("format", "fp16" if processor == "npu" else "fp32"), "processor": processor}
        step = step_of(shape, row["trains"], given["batch_size"], given["tokens"], **on)
        value = row["gigabytes"] * 1e9 if table == "memory" else row["seconds"] / row["passes"]
        found.append(Row(model=name, trains=row["trains"], value=value, step=step, shape=shape, **on))
    return found


def percent(error: float) -> str:
    return f"{100 * error:+.0f}%"


def as_points(found: Sequence[Row]) -> list[TablePoint]:
    return [
        TablePoint(family=row.model, table="full", depth=0, step=row.step, shape=row.shape, seconds=row.value)
        for row in found
    ]


def pixel_rows(processor: str) -> list[Row]:
    return [row for row in rows("seconds") if row.processor == processor]


# --- tables of latency --------------------------------------------------------------------------------------------


def test_bert_on_a_tx2_is_within_15_percent_of_every_published_figure_by_the_roofline_alone():
    points = [point for point in table_points(TX2) if point.family == "bert"]
    assert len(points) == 3 * 13
    assert max(map(abs, relative_errors(TX2, points))) <= 0.15


def test_distilbert_on_a_raspberry_pi_4b_is_within_8_percent_of_every_published_figure():
    points = table_points(RPI)
    assert len(points) == 3 * 7
    assert max(map(abs, relative_errors(RPI, points))) <= 0.08


@pytest.mark.parametrize("board", [TX2, RPI], ids=lambda board: board.name)
def test_the_efficiency_of_a_profile_is_the_one_that_fits_its_tables_best(board):
    fit, processor = fitted(board, table_points(board)), board.processor()
    assert processor.formats["fp32"].efficiency.value == pytest.approx(fit.efficiency, rel=2e-3)
    assert processor.step_seconds.value == pytest.approx(fit.step_seconds, rel=5e-3)
    assert processor.formats["fp32"].efficiency.provenance.level == "scaled"


@pytest.mark.parametrize(
    ("processor", "number_format", "worst"), [("default", "fp32", 0.28), ("gpu", "fp32", 0.33), ("npu", "fp16", 0.05)]
)
def test_the_phone_of_fwdllm_is_as_near_to_its_seconds_as_a_fit_can_be(processor, number_format, worst):
    points = as_points(pixel_rows(processor))
    fit, rates = fitted(PIXEL, points), rates_of(PIXEL, points[0].step.forward)
    assert rates.efficiency.value == pytest.approx(fit.efficiency, rel=5e-3)
    assert max(map(abs, relative_errors(PIXEL, points))) <= fit.worst_error + 0.01 <= worst + 0.01


def test_pytorchs_rate_of_tuning_llama2_on_an_agx_orin_is_the_published_one():
    # PockEngine: 550 tokens/s, 7.9 times as fast as PyTorch; LoRA in fp32 of one text of 512 tokens is our assumption.
    shape = decoder_shape("llama2-7b")
    step = step_of(shape, "lora", 1, 512)
    point = TablePoint(family="bert", table="full", depth=0, step=step, shape=shape, seconds=512 / (550 / 7.9))
    assert seconds_of(rates_of(ORIN, step.forward), point) == pytest.approx(point.seconds, rel=0.01)


# --- memory -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", rows("memory"), ids=lambda row: f"{row.model}-{row.trains}-{row.format}")
def test_peak_memory_from_parts_is_within_25_percent_of_the_published_peak(row):
    # Nothing is fitted to these rows. Those of LLaMA in fp16 train float32 copies of the weights, as fedlab does.
    assert memory_parts(row.step, row.shape).total == pytest.approx(row.value, rel=0.25)


def test_checkpointing_would_fit_llama_into_less_than_two_thirds_of_the_published_peak_of_lora():
    shape = decoder_shape("llama-7b")
    step = step_of(shape, "lora", 8, 258, format="fp16")
    saved = replace(step, backward=replace(step.backward, checkpointing=True))
    assert memory_parts(saved, shape).total < 2 / 3 * memory_parts(step, shape).total


# --- the tables of the document -----------------------------------------------------------------------------------


def latency_lines(board) -> list[str]:
    points = table_points(board)
    lines = []
    for name in ("full", "adapter", "cached_adapter"):
        own = [point for point in points if point.table == name]
        errors = relative_errors(board, own)
        lines += [f"| {board.name} | {own[0].family} `{name}` | {' '.join(map(percent, errors))} |"]
    return lines


def phone_lines() -> list[str]:
    lines = []
    for processor in ("default", "gpu", "npu"):
        found = pixel_rows(processor)
        for row, point in zip(found, as_points(found), strict=True):
            ours = seconds_of(rates_of(PIXEL, row.step.forward), point)
            name = "cpu" if processor == "default" else processor
            lines.append(
                f"| {name} | {row.model}, {WORDS[row.trains]} | {row.value:.3f} | {ours:.3f} "
                f"| {percent(ours / row.value - 1)} |"
            )
    return lines


def memory_lines() -> list[str]:
    lines = []
    for row in rows("memory"):
        ours = memory_parts(row.step, row.shape).total
        lines.append(
            f"| {row.model}, {row.format} | {WORDS[row.trains]} | {row.value / 1e9:.3f} | {ours / 1e9:.3f} "
            f"| {percent(ours / row.value - 1)} |"
        )
    return lines


@pytest.mark.parametrize(
    "lines", [latency_lines(TX2), latency_lines(RPI), phone_lines(), memory_lines()],
    ids=["latency-tx2", "latency-rpi", "phone", "memory"],
)  # fmt: skip
def test_the_document_shows_every_published_figure_beside_ours(lines):
    text = DOC.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line not in text] == []
