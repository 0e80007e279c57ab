"""What a client measured of its own part in a round."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A reply that has been sent: when a client answers it cannot know how long its answer will take."""

    num_bytes: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Measures:
    """What a client measured, on its own clock.

    `compute_seconds` go from the order to the answer without the `prepare_seconds` of opening model and data.
    `download_seconds` are those of the order, None where its SuperNode does not measure; `last_upload` is the reply
    before this one, None where there was none.
    """

    compute_seconds: float
    prepare_seconds: float
    peak_memory_bytes: int
    download_seconds: float | None = None
    last_upload: Upload | None = None

    def upload_seconds(self, num_bytes: int) -> float:
        """Return how long a reply takes, by its bytes, at the speed of the last; 0 where none is known."""
        last = self.last_upload
        return last.seconds * num_bytes / last.num_bytes if last else 0.0


def to_fields(measures: Measures) -> dict[str, float | int]:
    """Return measures as plain values by name, without what is not known."""
    fields: dict[str, float | int] = {
        "compute-seconds": measures.compute_seconds,
        "prepare-seconds": measures.prepare_seconds,
        "peak-memory-bytes": measures.peak_memory_bytes,
    }
    if measures.download_seconds is not None:
        fields["download-seconds"] = measures.download_seconds
    if measures.last_upload is not None:
        fields |= {"last-upload-bytes": measures.last_upload.num_bytes}
        fields |= {"last-upload-seconds": measures.last_upload.seconds}
    return fields


def from_fields(fields: Mapping[str, object]) -> Measures | None:
    """Read what `to_fields` gave; None where something is missing or no measure of anything, for clients can err."""
    names = ("compute-seconds", "prepare-seconds", "peak-memory-bytes", "download-seconds")
    values = {name: _not_negative(fields[name]) for name in names if name in fields}
    if None in values.values() or not {*names[:3]} <= values.keys():
        return None
    num_bytes, seconds = (_not_negative(fields.get(f"last-upload-{what}")) for what in ("bytes", "seconds"))
    return Measures(
        compute_seconds=values["compute-seconds"] or 0.0,
        prepare_seconds=values["prepare-seconds"] or 0.0,
        peak_memory_bytes=int(values["peak-memory-bytes"] or 0),
        download_seconds=values.get("download-seconds"),
        last_upload=Upload(num_bytes=int(num_bytes), seconds=seconds) if num_bytes and seconds is not None else None,
    )


def _not_negative(value: object) -> float | None:
    usable = isinstance(value, int | float) and isfinite(value) and value >= 0
    return float(value) if usable else None  # type: ignore[arg-type]
