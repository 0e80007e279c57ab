"""A slot and its rules from what a command line names."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedlab.config.schema import BackboneTable
from fedlab.devices.profile import DeviceProfile, load_profile
from fedlab.errors import UserError
from fedlab.estimate.exact import exact_rules
from fedlab.estimate.published import published_rules
from fedlab.estimate.slot import Estimate, Slot, estimate
from fedlab.estimate.spec import CodecName, EstimateMethod
from fedlab.estimate.trajectory import Segment, read_trajectory
from fedlab.models.decoders import published_decoder
from fedlab.models.sizes import EncoderSizes, read_sizes
from fedlab.network.links import constant
from fedlab.workload.passes import DEFAULT_PROCESSOR, Format
from fedlab.workload.shape import REFERENCE_SHAPES


@dataclass(frozen=True, kw_only=True)
class Named:
    """How a trajectory is trained, in the words of the command line; the defaults are the study's for 20NEWS."""

    method: EstimateMethod = "adapter"
    codec: CodecName = "none"
    backbone: str = "bert-base"
    device: str = "jetson-tx2"
    bandwidth: str = "1MB/s"
    batches: int = 29
    sequence_length: int = 256
    batch_size: int = 4
    labels: int = 20
    published: bool = False
    format: Format = "fp32"
    processor: str = DEFAULT_PROCESSOR
    checkpointing: bool = False
    scored_tokens: int | None = None
    targets: tuple[str, ...] = ("q", "v")

    def profile(self) -> DeviceProfile:
        """Return the board that is named.

        Raises:
            UserError: there is none of that name, or its file cannot be used.
        """
        return load_profile(self.device, Path())

    def __str__(self) -> str:
        """Say all of it in a line."""
        codec = "" if self.codec == "none" else f", {self.codec} updates"
        head = ", as the artifact bills it" if self.published else f", {self.labels} labels"
        if published_decoder(self.backbone):
            head = ""
        number_format = "" if self.format == "fp32" else f" in {self.format}"
        processor = "" if self.processor == DEFAULT_PROCESSOR else f" ({self.processor})"
        saving = ", checkpointing" if self.checkpointing else ""
        return (
            f"{self.method}{codec}{saving} of {self.backbone}{number_format} on {self.device}{processor}, "
            f"{self.bandwidth}, "
            f"{self.batches} batches of {self.batch_size} x {self.sequence_length} tokens a round{head}"
        )


def estimate_named(path: Path, named: Named) -> Estimate:
    """Return what a trajectory costs; names are looked up as those of an experiment file in the current folder.

    Raises:
        UserError: the file, or something that is named, cannot be used.
    """
    return estimate_trajectory(read_trajectory(path), named)


def estimate_trajectory(trajectory: Sequence[Segment], named: Named) -> Estimate:
    """Return what a trajectory costs; raises UserError as `estimate_named` does."""
    sizes = _sizes(named.backbone)
    slot = Slot(
        method=named.method,
        shape=sizes.shape,
        profile=named.profile(),
        link=constant(bandwidth_of(named.bandwidth)),
        batches=named.batches,
        batch_size=named.batch_size,
        sequence_length=named.sequence_length,
        format=named.format,
        processor=named.processor,
        checkpointing=named.checkpointing,
        scored_tokens=named.scored_tokens,
        targets=named.targets,
    )
    if not named.published:
        rules = exact_rules(named.method, sizes, labels=named.labels, codec=named.codec, targets=named.targets)
        return estimate(trajectory, slot, rules)
    family = sizes.shape.family
    if named.method in ("lora", "forward"):
        raise UserError(f"--published: the artifact's tables are of adapters and whole blocks, not of {named.method}")
    if sizes.shape not in REFERENCE_SHAPES.values():
        raise UserError(
            f"--published: the artifact's tables are for bert-base and distilbert-base, {named.backbone} is neither"
        )
    return estimate(trajectory, slot, published_rules(named.method, family, named.codec))


def _sizes(backbone: str) -> EncoderSizes:
    try:
        return read_sizes(BackboneTable(name=backbone), resolve=lambda text: Path(text).expanduser())
    except UserError as error:
        raise UserError(f"--backbone: {str(error).removeprefix('backbone.name: ')}") from error


def bandwidth_of(text: str) -> str | float:
    """Return a bandwidth as links take it: a bare number is bytes per second."""
    try:
        return float(text)
    except ValueError:
        return text
