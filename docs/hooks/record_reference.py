"""The fields of a run's records, made of the classes that are recorded."""

import dataclasses
import inspect
from typing import Any

from mkdocs.structure.pages import Page

from fedlab.results.records import (
    CandidateRecord,
    ClientRecord,
    GroupRecord,
    RoundRecord,
    ShiftRecord,
    StepRecord,
    TrialRecord,
)

PAGE, MARK = "reference/run-folder.md", "<!-- records -->"
PLACES = {
    RoundRecord: "a line of `rounds.jsonl`",
    GroupRecord: "`groups` of a round",
    ClientRecord: "a line of `clients.jsonl`",
    TrialRecord: "a line of `trials.jsonl`",
    CandidateRecord: "`candidates` of a trial",
    StepRecord: "a line of `steps.jsonl`, of `fwdllm`, `fedsgd` and `fedkseed`",
    ShiftRecord: "a line of `shifts.jsonl`, of the client `integer`",
}


def shown_type(annotation: Any) -> str:
    """Return a type as it is written."""
    text = annotation.__name__ if isinstance(annotation, type) and not hasattr(annotation, "__args__") else annotation
    return str(text).replace("typing.", "").replace("fedlab.results.records.", "").replace("|", "\\|")


def section(record: type) -> str:
    """Return a record's part of the page."""
    fields = [
        f"| `{each.name}` | {shown_type(each.type)} |"
        for each in dataclasses.fields(record)  # type: ignore[arg-type]
        if each.name not in ("old_work", "shifts")
    ]
    about = inspect.getdoc(record)
    return "\n".join(
        [
            f"### {record.__name__}\n\nIt is {PLACES[record]}.\n",
            f"{about}\n",
            "| field | type |",
            "|---|---|",
            *fields,
        ]
    )


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Put the records into their page."""
    if page.file.src_uri != PAGE:
        return markdown
    return markdown.replace(MARK, "\n\n".join(map(section, PLACES)))
