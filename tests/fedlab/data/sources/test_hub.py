"""A data set of the hub, fetched by a process of its own from a hub on loopback."""

import pytest

TABLES = {
    "all": {"data": "tiny/reviews"},
    "options": {"data": "tiny/reviews", "options": {"data_files": "dev.csv"}},
    "one split": {"data": "tiny/reviews", "options": {"split": "test"}},
    "no such revision": {"data": "tiny/reviews", "options": {"revision": "v2"}},
    "no such file": {"data": "tiny/reviews", "options": {"data_files": "more.csv"}},
    "no such data set": {"data": "tiny/others"},
}
TRAIN = [["fine, really", "good"], ["dull", "bad"], ["a joy", "good"]]
DEV = [["so so", "bad"]]
TEST = [["loved it", "good"], ["no", "bad"]]

ASK = f"""
import json
from pathlib import Path
from fedlab.data.sources.dataset import load_dataset_dict
from fedlab.errors import UserError
from fedlab.config.schema import TaskTable

def load(table):
    try:
        splits = load_dataset_dict(TaskTable(**table), resolve=Path)
    except UserError as error:
        return str(error)
    return {{split: [[row["text"], row["label"]] for row in splits[split]] for split in splits}}

print(json.dumps({{name: load(table) for name, table in {TABLES}.items()}}))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """What HF_HOME is, empty at first."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def online(hub_with, run_python, home, tmp_path_factory):
    """What the tables give, or are refused with, where the hub answers."""
    folder = tmp_path_factory.mktemp("reviews")
    for name, rows in {"train": TRAIN, "dev": DEV, "test": TEST}.items():
        lines = ["text,label", *(f'"{text}",{label}' for text, label in rows)]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    with hub_with("dataset", "tiny/reviews", folder) as environment:
        return run_python(ASK, **environment, HF_HOME=str(home))


@pytest.fixture(scope="module")
def offline(online, run_python, home):
    """The same with the hub gone, after that."""
    return run_python(ASK, HF_HUB_OFFLINE="1", HF_HOME=str(home))


def test_a_hub_data_set_comes_with_its_splits_and_rows(online):
    assert online["all"] == {"train": TRAIN, "validation": DEV, "test": TEST}


def test_the_options_choose_what_of_it_is_loaded(online):
    assert (online["options"], online["one split"]) == ({"train": DEV}, {"train": TEST})


def test_a_hub_data_set_is_fetched_once_and_then_needs_no_network(online, offline):
    assert (offline["all"], offline["one split"]) == (online["all"], online["one split"])


@pytest.mark.parametrize(
    ("what", "named"),
    [
        ("no such data set", "tiny/others"),
        ("no such revision", "'v2' doesn't exist"),
        ("no such file", "more.csv"),
    ],
)
def test_what_the_hub_does_not_have_is_refused_in_one_line(online, what, named):
    assert online[what].startswith(f"hub data set '{TABLES[what]['data']}': ")
    assert named in online[what]
    assert "\n" not in online[what]


def test_a_hub_data_set_never_fetched_is_refused_in_one_line_while_offline(offline):
    assert offline["no such data set"].startswith("hub data set 'tiny/others': ")
    assert "\n" not in offline["no such data set"]
