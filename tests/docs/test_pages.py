"""What the pages name exists: links, files, tasks, commands with their options, keys, and experiments."""

import inspect
import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
import typer

from fedlab.cli.main import app
from fedlab.config.builtins import AVAILABILITY, CLIENTS, CODECS, LINKS, STRATEGIES
from fedlab.config.file import experiment_from, load_experiment
from fedlab.config.plugins import load_object
from fedlab.config.schema import Experiment
from fedlab.devices.file import read_profile_file
from fedlab.devices.fleet import build_fleet
from fedlab.errors import UserError
from fedlab.messages import orders
from fedlab.results.folder import RunFolder
from fedlab.server.factory import load_availability, load_client, load_coding, load_link, load_set, load_strategy
from fedlab.sweep.file import load_sweep

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
AT_ROOT = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "experiments/paper/README.md"]
PAGES = [*AT_ROOT, *sorted(path.relative_to(ROOT).as_posix() for path in DOCS.glob("**/*.md"))]
TEXTS = {page: (ROOT / page).read_text() for page in PAGES}
TODAY = [page for page in PAGES if page != "CHANGELOG.md" and "/decisions/" not in page]  # others tell of earlier days

BLOCK = re.compile(
    r'^(?P<indent> *)```(?P<language>\w*)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^(?P=indent)```$', re.M | re.S
)
SNIPPET = re.compile(r'^--8<-- "(.+)"$', re.M)

# Programs of commands that no test of this file runs or parses, and why.
NOT_PARSED = {
    "docker": "needs a Docker engine",
    "docker/compose": "needs a Docker engine; run by tests/deployment/test_containers.py",
    "docker/down": "needs a Docker engine; run by tests/deployment/test_containers.py",
    "docker/follow": "needs a Docker engine",
    "docker/up": "needs a Docker engine; run by tests/deployment/test_containers.py",
    "export": "sets variables for Flower's programs, which tests/deployment starts with them",
    "flower-superexec": "a server that runs until it is stopped; started by tests/deployment",
    "flower-superlink": "a server that runs until it is stopped; started by tests/deployment",
    "flwr": "talks to a server; run by tests/deployment and tests/integration/test_flower_runtime.py",
    "git": "clones the repository",
    "journalctl": "reads a service's log",
    "pip": "installs packages",
    "python3": "makes a virtual environment",
    "ssh": "connects to another machine",
    "systemctl": "starts a service",
    "tar": "copies files into a volume of Docker",
    "useradd": "makes a user",
    "install": "copies files as another user",
}
# Files of commands that readers have, and the repository has not.
READERS_FILES = {
    "FILE", "RUN", "EXPERIMENT", "reviews.toml", "mine.toml", "FILE.toml", "board.toml", "state_traces.json",
    "client_device_capacity", "client_behave_trace", "trajectory.csv", "rounds.csv", "EXPERIMENT.toml",
}  # fmt: skip
# TOML that is neither an experiment nor a device profile, by its first key.
OTHER_TOML = {"superlink": "Flower's own configuration, read by its programs in tests/deployment"}
PROFILE_KEYS = {"memory_bytes", "processors", "latency_seconds"}
# Files of tables that blocks name as the reader's own.
TABLES = {
    "traces/lte.down": "1\n",
    "traces/phones.csv": "partition_id,on_seconds,off_seconds\n0,0,60\n",
    "measured.csv": "partition_id,throughput\n0,1\n",
    "devices.csv": "partition_id,throughput,down_bytes_per_second,up_bytes_per_second\n0,1,1e6,1e6\n",
    "availability.csv": "partition_id,on_seconds,off_seconds,period_seconds\n0,0,60,100\n",
    "faster.toml": "memory_bytes = 1e9\ncomputing_watts = 5\ncommunicating_watts = 1\nidle_watts = 1\n"
    "[latency_seconds.bert]\nfull = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]\n"
    "[processors.default.bf16.latency_seconds.bert]\nfull = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]\n",
}


@dataclass(frozen=True)
class Block:
    """A block of code of a page; `text` has the file that it includes in its place."""

    page: str
    line: int
    language: str
    title: str | None
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: str) -> Iterator[Block]:
    for found in BLOCK.finditer(TEXTS[page]):
        lines = [line.removeprefix(found["indent"]) for line in found["text"].splitlines()]
        text = SNIPPET.sub(lambda each: (DOCS / each[1]).read_text(), "\n".join(lines))
        yield Block(page, TEXTS[page].count("\n", 0, found.start()) + 1, found["language"], found["title"], text)


BLOCKS = [block for page in TODAY for block in blocks_of(page)]
TOML = [block for block in BLOCKS if block.language == "toml"]


def commands_of(block: Block) -> Iterator[list[str]]:
    """Yield the words of each command of a block, without variables before it and the user that it runs as."""
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words = words[1:]
        if words[:1] == ["sudo"]:
            words = words[3:] if words[1] == "-u" else words[1:]
        if words:
            yield words


COMMANDS = [(str(block), words) for block in BLOCKS if block.language == "sh" for words in commands_of(block)]
INLINE = [
    (page, shlex.split(found))
    for page in TODAY
    for found in re.findall(r"(?<!`)`(fedlab [a-z-]+(?: [^`]*)?)`(?!`)", BLOCK.sub("", TEXTS[page]))
]


def parsed(words: list[str]) -> click.Context:
    """Parse a command of fedlab as the program does; raises click's errors of usage."""
    command, name, rest = typer.main.get_command(app), "fedlab", words[1:]
    while hasattr(command, "commands"):
        if not rest or rest[0] not in command.commands:
            raise click.UsageError(f"no such command: {rest[:1]}")
        name, command, rest = rest[0], command.commands[rest[0]], rest[1:]
    return command.make_context(name, list(rest))


FILES = [each for each in BLOCKS if each.title and (ROOT / each.page).parent.joinpath(each.title).is_file()]


def test_there_are_pages_blocks_and_commands_to_look_at():
    assert len(PAGES) > 60
    assert len(TOML) > 20
    assert len([words for _, words in COMMANDS if words[0] == "fedlab"]) > 50
    assert len(INLINE) > 30
    assert len(FILES) >= 12


def test_the_readme_is_short():
    assert len(TEXTS["README.md"].splitlines()) <= 130


@pytest.mark.parametrize("page", PAGES)
def test_links_to_files_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)\)", TEXTS[page])
    generated = ("notebook.md", "contributing.md", "changelog.md", "decisions/index.md")  # by docs/hooks
    missing = [
        link
        for link in links
        if "://" not in link and not link.endswith(generated) and not (ROOT / page).parent.joinpath(link).exists()
    ]
    assert not missing


@pytest.mark.parametrize("page", TODAY)
def test_files_and_modules_that_are_named_exist(page):
    files = re.findall(r"`((?:[a-z_]+/)+[\w./-]+\.(?:py|md|toml))`", TEXTS[page])
    files += [name.replace(".", "/") + ".py" for name in re.findall(r"`(fedlab(?:\.[a-z]\w*)+)`", TEXTS[page])]
    places = {
        file: (
            ROOT / file,
            ROOT / "fedlab" / file,
            (ROOT / file).parent.with_suffix(".py"),
            (ROOT / file).with_suffix(""),
        )
        for file in files
        if not file.startswith(("path/", "traces/"))
    }
    assert not [file for file, found in places.items() if not any(place.exists() for place in found)]


@pytest.mark.parametrize("page", PAGES)
def test_tasks_of_make_exist(page):
    tasks = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = re.findall(r"(?:`|^)make ([a-z-]+)", TEXTS[page], re.MULTILINE)
    assert set(named) <= tasks


@pytest.mark.parametrize("page", [page for page in TODAY if page != "CONTRIBUTING.md"])
def test_code_is_in_blocks_that_say_their_language(page):
    assert {block.language for block in blocks_of(page)} <= {"sh", "toml", "python", "csv", "ini", "text"}


@pytest.mark.parametrize(
    ("place", "words"), COMMANDS, ids=lambda value: value if isinstance(value, str) else " ".join(value)[:60]
)
def test_a_command_parses_or_is_listed_with_a_reason(place, words, tmp_path):
    program, *rest = words
    if Path(program).name == "fedlab":
        context = parsed(["fedlab", *rest])
        check_experiment(context, tmp_path)
        check_files(context)
    elif program == "make":
        assert f"\n{rest[0]}:" in (ROOT / "Makefile").read_text()
    elif program == "python":
        assert (ROOT / rest[0]).exists(), place
    else:
        name = Path(program).name if program.startswith((".venv/", "/")) else program
        assert name in NOT_PARSED, f"{place}: {name}"
        if "/" in name:
            assert (ROOT / name).exists(), place


@pytest.mark.parametrize("block", FILES, ids=lambda block: f"{block}-{block.title}")
def test_a_file_that_a_page_shows_is_shown_whole(block):
    assert block.text.strip() == (ROOT / block.page).parent.joinpath(block.title).read_text().strip()


def check_experiment(context: click.Context, folder: Path) -> None:
    """Load the experiment of a command with its settings; one of the reader's own stands for the defaults."""
    if "settings" not in context.params and "experiment" not in context.params:
        return
    named = context.params.get("experiment") or context.params.get("source")
    path = ROOT / str(named) if named else None
    if path is None or not path.exists() or path.suffix != ".toml":
        path = folder / "reader.toml"
        path.write_text("rounds = 1\n")
    if "sweep" in tomllib.loads(path.read_text()):
        assert load_sweep(path, context.params.get("settings", ())).cells
    else:
        assert load_experiment(path, context.params.get("settings", ()))


def check_files(context: click.Context) -> None:
    """Check that files that a command names are in the repository, or known as the reader's own."""
    for value in context.params.values():
        if (
            isinstance(value, Path)
            and value.suffix in (".toml", ".csv", ".json")
            and value != context.params.get("out")
        ):
            shown = {block.title for block in BLOCKS}
            assert (ROOT / value).exists() or value.name in READERS_FILES | shown, value


@pytest.mark.parametrize(
    ("page", "words"), INLINE, ids=lambda value: value if isinstance(value, str) else " ".join(value)
)
def test_a_command_in_a_sentence_parses_but_for_what_it_leaves_out(page, words):
    of_all = {"--help", *(name for option in typer.main.get_command(app).params for name in option.opts)}
    known = [word for word in words if word not in of_all]
    try:
        assert known == ["fedlab"] or parsed(known)
    except click.MissingParameter:
        pass  # the sentence is about the command, and no call of it
    except click.BadOptionUsage as error:
        if error.option_name != words[-1]:  # else the sentence is about the option
            raise


def keys_of(page: str) -> Iterator[tuple[str, ...]]:
    """Yield the dotted keys of experiments that a page names in code spans."""
    tables = [name for name, field in Experiment.model_fields.items() if hasattr(field.annotation, "model_fields")]
    for found in re.findall(
        rf"`((?:{'|'.join(tables)})(?:\.(?!json|toml|py)[a-z_]+)+)(?: = [^`]*)?`", BLOCK.sub("", TEXTS[page])
    ):
        yield tuple(found.split("."))


def options_of(kind: str) -> set[str]:
    """Return the options of all built-in parts of a kind."""
    names = {"strategy": STRATEGIES, "client": CLIENTS, "link": LINKS, "availability": AVAILABILITY}[kind]
    found = set()
    for reference in names.values():
        found |= set(inspect.signature(load_object(reference, ROOT)).parameters)
    return found | {"strategy"}  # of strategies of Flower's that are around another


@pytest.mark.parametrize("page", TODAY)
def test_a_key_that_is_named_is_a_key_of_experiments(page):
    for table, *keys in keys_of(page):
        model = Experiment.model_fields[table].annotation
        for at, key in enumerate(keys):
            if not hasattr(model, "model_fields"):
                break
            assert key in model.model_fields, f"{page}: {table}.{key}"
            model = model.model_fields[key].annotation
            if key == "options" and keys[at + 1 :] and table != "task":
                assert keys[at + 1] in options_of(table), f"{page}: {table}.{'.'.join(keys)}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with the files of docs/extend, and with tables as readers have them."""
    place = tmp_path_factory.mktemp("docs")
    for path in [*DOCS.glob("extend/*.py"), *DOCS.glob("extend/*.toml")]:
        shutil.copy(path, place)
    for name, text in TABLES.items():
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text(text)
    profile = (ROOT / "fedlab/devices/profiles/jetson-tx2.toml").read_text()
    (place / "board.toml").write_text(profile)
    return place


@pytest.mark.parametrize("block", TOML, ids=str)
def test_a_table_that_is_shown_is_an_experiment_or_a_profile_whose_parts_can_be_made(block, folder):
    table = tomllib.loads(block.text)
    if set(table) & set(OTHER_TOML):
        return
    if set(table) & PROFILE_KEYS:
        check_profile(table, block, folder)
        return
    if "sweep" in table:
        path = folder / "sweep.toml"
        path.write_text(block.text)
        assert len(load_sweep(path).cells) > 1
        return
    check_parts(experiment_from({"rounds": 1, "base_folder": str(folder)} | table, str(block)))


def check_profile(table: dict, block: Block, folder: Path) -> None:
    whole = {"memory_bytes", "computing_watts"} <= set(table)
    path = folder / "shown.toml"
    path.write_text(block.text if whole else (folder / "phone.toml").read_text() + block.text)
    assert read_profile_file(path)
    experiment = Experiment(rounds=1, fleet={"devices": {"shown.toml": 1.0}}, base_folder=str(folder))
    assert build_fleet(experiment.fleet, 2, 0, folder)


def check_parts(experiment: Experiment) -> None:
    """Make what an experiment names, with its options."""
    base = Path(experiment.base_folder)
    assert load_strategy(experiment)
    assert load_client(experiment.client.name, experiment.client.options, base, sets=[experiment.client.trained])
    assert load_set(experiment)
    assert load_link(experiment)
    assert load_availability(experiment)
    assert build_fleet(experiment.fleet, 8, 0, base)
    load_coding(experiment)
    assert set(experiment.codec.up) <= {name for name in experiment.codec.up if known_codec(name)}


def known_codec(name: object) -> bool:
    found = name["name"] if isinstance(name, dict) else str(name)
    return found.partition(":")[0] in CODECS or ":" in found


def test_an_experiment_key_that_does_not_exist_is_noticed(folder):
    with pytest.raises(UserError, match="clients_per_rond"):
        check_parts(
            experiment_from({"rounds": 1, "strategy": {"name": "fedavg", "options": {"clients_per_rond": 3}}}, "x")
        )
    with pytest.raises(UserError, match="dept"):
        experiment_from({"rounds": 1, "client": {"dept": 3}}, "x")


def test_a_command_that_does_not_parse_is_noticed(tmp_path):
    with pytest.raises(click.UsageError):
        parsed(["fedlab", "run", "x.toml", "--sed", "7"])
    with pytest.raises(click.UsageError):
        parsed(["fedlab", "rum", "x.toml"])
    with pytest.raises(UserError, match="rouns"):
        check_experiment(parsed(["fedlab", "run", "x.toml", "--set", "rouns=7"]), tmp_path)


def test_the_page_of_messages_names_every_key_of_the_protocol():
    keys = set(re.findall(r"`([a-z][a-z_-]*)`", inspect.getdoc(orders)))
    assert "train-loss" in keys
    assert not [key for key in keys if f"`{key}`" not in TEXTS["docs/reference/messages.md"]]


def test_the_page_of_the_run_folder_names_every_file_of_it():
    files = [
        getattr(RunFolder(Path("run")), name) for name, each in vars(RunFolder).items() if isinstance(each, property)
    ]
    names = {each.name for each in files if isinstance(each, Path)}
    assert "rounds.jsonl" in names
    assert not [name for name in names if name not in TEXTS["docs/reference/run-folder.md"]]
