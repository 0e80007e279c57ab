"""From one's own CSV to a report in four commands, as the page says it, on few rows."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/getting-started/own-data.md").read_text()
LITTLE = ("rounds=1", "task.partition.clients=4", "client.depth=1", "backbone.name=bert-tiny")
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
    little = [word for key in LITTLE for word in ("--set", key)]
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
    """Change the first three keys of the task, as the page says."""
    text = path.read_text()
    found = re.compile(r"^\[task\]\n(?:[^\[\n].*\n)+", re.MULTILINE)
    keys = [line.split(" ")[0] for line in found.search(text)[0].splitlines()]
    assert keys == [line.split(" ")[0] for line in block("reviews.toml").splitlines()]
    changed = found.sub(lambda _: block("reviews.toml"), text, count=1)
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
