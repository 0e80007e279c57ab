"""A single figure in the file of a device profile."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fedlab.devices.tables import Figure, Provenance, ProvenanceLevel

STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

# Products and quotients of a few figures are finite, and above 0.
FigureValue = Annotated[float, Field(ge=1e-12, le=1e18)]


class FigureEntry(BaseModel):
    """A single figure: a bare number, or a table that says where it comes from."""

    model_config = STRICT

    value: FigureValue
    provenance: ProvenanceLevel = "assumed"
    source: str = ""

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, given: Any) -> Any:
        return given if isinstance(given, dict) else {"value": given}

    @property
    def figure(self) -> Figure:
        """Return the value with its provenance."""
        return Figure(value=self.value, provenance=Provenance(level=self.provenance, source=self.source))
