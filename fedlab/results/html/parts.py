"""What a page is made of: sections of tiles, paragraphs, tables, choosers, charts and code."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from fedlab.results.html.charts import Chart

Levels = Mapping[str, int]  # how many parts have each level of provenance
TableRow = list[str | Levels]


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A figure by name, with its provenance and a note."""

    name: str
    value: str
    levels: Levels = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class TileRow:
    """Figures side by side."""

    form: ClassVar[str] = "tiles"
    tiles: Sequence[Tile]


@dataclass(frozen=True, kw_only=True)
class Paragraph:
    """A text; one that `warns` is set off."""

    form: ClassVar[str] = "text"
    text: str
    warns: bool = False
    levels: Levels = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PageTable:
    """A table: the first `words` columns are names, the others figures. A cell is text, or counted levels."""

    form: ClassVar[str] = "table"
    key: str
    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str | Levels]]
    words: int = 1
    note: str = ""
    folded: bool = False


@dataclass(frozen=True, kw_only=True)
class CodeBlock:
    """Lines to copy: a file, or commands."""

    form: ClassVar[str] = "code"
    key: str
    title: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of the values of a chooser."""

    key: str
    title: str


@dataclass(frozen=True, kw_only=True)
class Chooser:
    """A choice that several charts follow, the first one at the beginning."""

    form: ClassVar[str] = "chooser"
    key: str
    title: str
    choices: Sequence[Choice]


@dataclass(frozen=True, kw_only=True)
class RoundSteps:
    """The choice of the round that a time line shows, and its zoom."""

    form: ClassVar[str] = "steps"
    title: str
    chart: str
    choices: Sequence[Choice]
    chosen: str


@dataclass(frozen=True, kw_only=True)
class ChartFigure:
    """A chart with its caption; `chooser` names what chooses among its specifications. `height` is kept free for it."""

    form: ClassVar[str] = "figure"
    chart: Chart
    caption: str
    chooser: str = ""
    levels: Levels = field(default_factory=dict)
    height: int = 200

    @property
    def key(self) -> str:
        """The key of the chart."""
        return self.chart.key

    @property
    def summary(self) -> str:
        """What the chart shows, in words."""
        return self.chart.summary


Part = TileRow | Paragraph | PageTable | CodeBlock | Chooser | RoundSteps | ChartFigure


@dataclass(frozen=True, kw_only=True)
class PageSection:
    """A part of a page under a heading."""

    key: str
    title: str
    parts: Sequence[Part]


@dataclass(frozen=True, kw_only=True)
class Page:
    """A whole page."""

    kind: str
    title: str
    lead: str
    sections: Sequence[PageSection]
    footer: str

    def charts(self) -> dict[str, Any]:
        """Return the charts as the page's script reads them, by key."""
        figures = [part for section in self.sections for part in section.parts if isinstance(part, ChartFigure)]
        return {each.key: each.chart.plain() for each in figures}
