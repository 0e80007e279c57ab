"""From one's own CSV to a report in four commands, as the page says it, on few rows."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/getting-started/own-data.md").read_text()
FEDLAB = Path(sys.executable).with_name("fedlab")


def block(title: str) -> str:
    """Return a block of the page by its title."""
    return re.search(rf'^```\w+ title="{title}"\n(.*?)^```$', PAGE, re.MULTILINE | re.DOTALL)[1]


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """Do what the page says, with 80 rows and few clients, and return what each command printed, and the folder."""
    folder = tmp_path_factory.mktemp("reviews")
    header, *rows = block("reviews.csv").splitlines()
    (folder / "reviews.csv").write_text(
        "\n".join([header, *(row.replace(",", f" {i},", 1) for i in range(40) for row in rows)])
    )
    environment = os.environ | {"FEDLAB_CACHE": str(folder / "cache"), "COLUMNS": "200", "TERM": "dumb"}
    little = ["--set", "rounds=1", "--set", "task.partition.clients=4", "--set", "backbone.name=bert-tiny"]
    few = [*little, "--set", "strategy.options.clients_per_round=3", "--quiet", "--workers", "1"]
    more = {"data": little, "run": few}
    found = {}
    for line in re.findall(r"^fedlab (.*?)(?:  +#.*)?$", PAGE, re.MULTILINE)[:4]:
        name, *words = line.split()
        done = subprocess.run(
            [FEDLAB, name, *words, *more.get(name, [])],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{line}: {done.stdout}\n{done.stderr}"
        found[name] = done.stdout
        if name == "new":
            edit(folder / "reviews.toml")
    return found, folder


def edit(path: Path) -> None:
    """Replace the table of the task, as the page says."""
    text = path.read_text()
    changed = re.sub(r"^\[task\]\n(?:[^\[\n].*\n)+", lambda _: block("reviews.toml"), text, count=1, flags=re.MULTILINE)
    assert changed != text
    path.write_text(changed)


def test_four_commands_lead_to_a_report(printed):
    found, folder = printed
    assert list(found) == ["new", "data", "run", "report"]
    assert (folder / "runs/reviews/summary.json").exists()
    assert "<html" in (folder / "reviews.html").read_text()[:2000]


def test_the_data_are_the_rows_of_the_table(printed):
    found, _ = printed
    assert "good" in found["data"]
    assert "bad" in found["data"]
