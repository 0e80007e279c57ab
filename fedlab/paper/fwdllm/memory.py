"""FwdLLM's peaks of memory, from their parts: `fedlab.devices.costmodel.memory`."""

from typing import Any

from fedlab.devices.costmodel.memory import memory_parts
from fedlab.devices.costmodel.projections import trained_weights
from fedlab.estimate.fwdllm.backbones import ENCODERS, parameters, peak_memory_bytes
from fedlab.estimate.spec import FwdllmMethod
from fedlab.models.decoders import decoder_shape
from fedlab.paper.cells import PaperCell, Section
from fedlab.paper.fwdllm.billed import NAMES
from fedlab.paper.fwdllm.figures import FwdllmFigures, Peaks
from fedlab.workload.passes import WHOLE, Format, TrainedSpec, lora
from fedlab.workload.weights import num_weights
from fedlab.workload.workload import forward_passes, steps_of, training_passes

_TRAINED_BYTES = 4
_DECODER_BYTES = {"fp16": 2.0, "int4": 0.5}  # of a weight, scales apart
_GB = 1e9
_PEAKS: tuple[FwdllmMethod, ...] = ("full", "adapter", "bitfit", "forward")


def memory(figures: FwdllmFigures) -> list[Section]:
    """Return the peaks of encoders and of LLaMA-7B, the ratio that the abstract has, and the weights alone."""
    return [_encoders(figures.memory), _decoder(figures), _ratio(figures.memory), _weights(figures)]


def _encoders(given: Peaks) -> Section:
    cells: list[PaperCell] = []
    for backbone in ENCODERS:
        published = given.backbones.get(backbone, {})
        trained = _TRAINED_BYTES * parameters(backbone, "forward", given.labels).number / _GB
        for method in _PEAKS:
            ours, paper = _peak(given, backbone, method), published.get(method)
            if method == "forward":
                cells.append(PaperCell(row=backbone, column="inference", ours=ours - trained, paper=paper))
                paper = None if paper is None else paper + trained
            cells.append(PaperCell(row=backbone, column=NAMES[method], ours=ours, paper=paper))
    title = f"Peak memory, batches of {given.batch_size} x {given.tokens} tokens, FP32"
    return Section(title=title, unit="GB", cells=tuple(cells))


def _peak(given: Peaks, backbone: str, method: FwdllmMethod) -> float:
    peak = peak_memory_bytes(
        backbone, method, given.labels, batch_size=given.batch_size, tokens=given.tokens, number_format="fp32"
    )
    return peak / _GB


def _decoder(figures: FwdllmFigures) -> Section:
    given, name = figures.memory, figures.llama.backbone
    published = given.backbones[name]
    pairs = lora(figures.llama.rank, figures.llama.targets)
    shape = decoder_shape(name)
    trained = _TRAINED_BYTES * trained_weights(pairs, shape, shape.blocks) / _GB
    inference = {each: _decoder_peak(figures, None, each) for each in given.llama_table7}
    cells = [
        PaperCell(row="FT, FP16", column=name, ours=_decoder_peak(figures, WHOLE), paper=published["full"]),
        PaperCell(row="LoRA, FP16", column=name, ours=_decoder_peak(figures, pairs), paper=published["adapter"]),
        PaperCell(row="inference, FP16", column=name, ours=inference["fp16"], paper=published["forward"]),
    ]
    cells += [
        PaperCell(row=f"FwdLLM, {each.upper()}, table 7", column=name, ours=inference[each] + trained, paper=paper)
        for each, paper in given.llama_table7.items()
    ]
    unknown = PaperCell(row="FwdLLM, the README", column=name, ours=None, paper=given.llama_readme, note="not rebuilt")
    return Section(title="Peak memory of LLaMA-7B", unit="GB", cells=(*cells, unknown))


def _decoder_peak(figures: FwdllmFigures, trained: TrainedSpec | None, number_format: Format = "fp16") -> float:
    """Return the peak of training a set, or of inference alone."""
    given, shape = figures.memory, decoder_shape(figures.llama.backbone)
    batch: dict[str, Any] = {"batches": 1, "batch_size": given.batch_size, "input_shape": (given.tokens,)}
    batch |= {"model_blocks": shape.blocks, "format": number_format}
    passes = forward_passes(**batch)
    if trained is not None:
        passes = training_passes(depth=shape.blocks, trained=trained, **batch)
    [step] = steps_of(passes)
    return memory_parts(step, shape).total / _GB


def _ratio(given: Peaks) -> Section:
    ours = _peak(given, "albert-base", "full") / _peak(given, "albert-base", "forward")
    cell = PaperCell(row="albert-base", column="FT / FwdLLM", ours=ours, paper=given.full_over_forward_albert)
    return Section(title="How many times as much memory as FwdLLM", unit="times", cells=(cell,))


def _weights(figures: FwdllmFigures) -> Section:
    cells: list[PaperCell] = []
    for row, paper in figures.memory.weights.items():
        name, _, number_format = row.partition(" ")
        if number_format:
            count = num_weights(decoder_shape(name)) * _DECODER_BYTES[number_format]
        else:
            count = _TRAINED_BYTES * parameters(name, "full", figures.memory.labels).number
        cells.append(PaperCell(row=row, column="weights", ours=count / _GB, paper=paper))
    return Section(title="Weights alone", unit="GB", cells=tuple(cells))
