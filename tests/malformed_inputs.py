"""A seeded generator of malformed inputs of every family: files, settings, profiles, traces, plugins, words.

A case is one command in a folder of its own. One that is `wrong` must be refused, with a line that has one of `names`;
others may be accepted or refused. No module of pytest: `conftest.py` loads it for the tests that need it.
"""

import json
import os
import random
import shutil
import types
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import tomli_w
from pydantic import BaseModel

from fedlab.config.schema import Experiment

OLD_RUNS = Path(__file__).parent / "fedlab" / "results" / "old_runs"
BATCHES = ("--batches", "3", "--labels", "4")
BASE: Mapping[str, Any] = {
    "rounds": 2,
    "task": {"max_length": 16, "partition": {"clients": 6}},
    "backbone": {"name": "bert-tiny"},
    "client": {"depth": 1},
    "strategy": {"name": "fedavg", "options": {"clients_per_round": 3}},
}
DEEP = "[" * 100_000
MEGABYTE = "x" * 1_000_000
DIGITS = "9" * 4301


@dataclass(frozen=True, kw_only=True)
class Case:
    """A command, and what makes the folder it runs in."""

    family: str
    words: tuple[str, ...]
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    makes: Callable[[Path], None] | None = None
    wrong: bool = False
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.family}: {' '.join(word[:80] for word in self.words)}"

    def prepare(self, folder: Path) -> None:
        """Write the files of the case."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        if self.makes is not None:
            self.makes(folder)


def cases(seed: int, count: int) -> list[Case]:
    """Return so many cases, the families in turn."""
    draws = random.Random(seed)
    made = [FAMILIES[at % len(FAMILIES)](draws) for at in range(count)]
    assert len(made) == count
    return made


def experiment(**changes: Any) -> dict[str, Any]:
    """Return the table of a small experiment, with the values of dotted keys changed."""
    table = json.loads(json.dumps(BASE))
    for key, value in changes.items():
        put(table, key, value)
    return table


def put(table: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        table = table.setdefault(parent, {})
    table[last] = value


def estimated(family: str, table: Mapping[str, Any] | str, **about: Any) -> Case:
    """Return the case of an experiment file that is estimated: it is read and assembled, and nothing is trained."""
    text = table if isinstance(table, str) else tomli_w.dumps(table)
    files = {"e.toml": text, **about.pop("files", {})}
    return Case(family=family, words=("estimate", "e.toml", *BATCHES), files=files, **about)


# -- values ---------------------------------------------------------------------------------------------------------


def keys(model: type[BaseModel] = Experiment, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted keys of an experiment that are values, with their annotations."""
    for name, about in model.model_fields.items():
        if isinstance(about.annotation, type) and issubclass(about.annotation, BaseModel):
            yield from keys(about.annotation, f"{prefix}{name}.")
        elif name != "base_folder":
            yield prefix + name, about.annotation


def kinds(annotation: Any) -> set[str]:
    """Return which kinds of TOML values an annotation may accept."""
    if get_origin(annotation) in (Union, types.UnionType):
        return set().union(*(kinds(each) for each in get_args(annotation)))
    if get_origin(annotation) is Literal:
        return {"str"}
    names = {int: {"int"}, float: {"int", "float"}, str: {"str"}, bool: {"bool"}, type(None): set()}
    if annotation in names:
        return names[annotation]
    return {"list", "str"} if get_origin(annotation) is list else {"dict"}


EXAMPLES: Mapping[str, tuple[Any, ...]] = {
    "int": (1, 7, 10**6),
    "float": (0.5, 3.25),
    "str": ("3", "1MB/s", "text"),
    "bool": (True, False),
    "list": ([1], [[]], [{}]),
    "dict": ({"a": 1}, {"x": {"y": []}}),
}
NEVER: tuple[str, ...] = ("nan", "inf", "-inf", "5e-324", "1e-300", "1e308", str(2**70), DIGITS, DEEP, "2026-01-01")


def foreign(draws: random.Random, annotation: Any) -> Any:
    """Return a value of a kind that an annotation does not accept."""
    others = [kind for kind in EXAMPLES if kind not in kinds(annotation)]
    return draws.choice(EXAMPLES[draws.choice(others)])


def toml_value(value: Any) -> str:
    return tomli_w.dumps({"v": value}).partition("=")[2].strip() if not isinstance(value, dict) else "{ a = 1 }"


# -- families -------------------------------------------------------------------------------------------------------


def a_value_of_another_type(draws: random.Random) -> Case:
    key, annotation = draws.choice(list(keys()))
    table = experiment(**{key: foreign(draws, annotation)})
    return estimated("experiment file", table, wrong=True, names=(key.split(".")[-1],))


def a_value_that_is_never_accepted(draws: random.Random) -> Case:
    key, _ = draws.choice([each for each in keys() if {"int", "float"} & kinds(each[1])])
    words = ("estimate", "e.toml", *BATCHES, "--set", f"{key}={draws.choice(NEVER)}")
    return Case(family="--set", words=words, files={"e.toml": tomli_w.dumps(BASE)}, wrong=True, names=(key, "--set"))


def a_setting(draws: random.Random) -> Case:
    key, annotation = draws.choice(list(keys()))
    words = ("estimate", "e.toml", *BATCHES, "--set", f"{key}={toml_value(foreign(draws, annotation))}")
    return Case(
        family="--set",
        words=words,
        files={"e.toml": tomli_w.dumps(BASE)},
        wrong=True,
        names=(key, "--set", key.split(".")[0]),
    )


def a_setting_that_is_none(draws: random.Random) -> Case:
    setting = draws.choice(
        ["", "=", "=3", "rounds", "rounds.x=1", "a.b.c=1", "." * 50 + "=1", MEGABYTE, f"{MEGABYTE}=1", "task=3", "..=1"]
    )
    command = draws.choice(["estimate", "run"])
    words = (command, "e.toml", "--set", setting, *(BATCHES if command == "estimate" else ()))
    return Case(family="--set", words=words, files={"e.toml": tomli_w.dumps(BASE)}, wrong=True)


def a_key_that_is_not_there(draws: random.Random) -> Case:
    key = draws.choice([name for name, _ in keys()])
    at = draws.randrange(len(key.split(".")[-1]))
    last = key.split(".")[-1]
    typo = ".".join([*key.split(".")[:-1], last[:at] + draws.choice("xyz_") + last[at:]])
    return estimated("experiment file", experiment(**{typo: 1}), wrong=True, names=(typo.split(".")[-1],))


def a_broken_file(draws: random.Random) -> Case:
    text = tomli_w.dumps(BASE)
    at = draws.randrange(1, len(text))
    broken = draws.choice(
        [
            text[:at] + "\x00" + text[at:],
            text[:at] + draws.choice("[]{}=\"'") + text[at:],
            text[:at],
            f"x = {DEEP}",
            f"x = {DIGITS}",
            f"rounds = {DIGITS}",
            ".".join(["a"] * 3000) + " = 1",
            MEGABYTE,
            "rounds = 1\n" * 2,
        ]
    )
    return estimated("experiment file", broken)


def a_file_that_is_none(draws: random.Random) -> Case:
    def make(folder: Path) -> None:
        os.mkfifo(folder / "pipe.toml")
        (folder / "folder.toml").mkdir()
        (folder / "bytes.toml").write_bytes(b"\xff\xfe\x00rounds")
        (folder / "loop.toml").symlink_to("loop.toml")

    names = ["pipe.toml", "folder.toml", "bytes.toml", "loop.toml", "none.toml", "/dev/zero", "y" * 300, "y/" * 3000]
    place = draws.choice(names)
    command = draws.choice(["run", "estimate", "sweep", "show", "verify", "compare", "reprice"])
    return Case(family="files", words=(command, place), makes=make, wrong=True)


NUMBERS_WRONG = (-1, 0.5, True, "3", "fast", [1], 2**62, 1e29)
OPTIONS: Mapping[str, tuple[tuple[str, tuple[Any, ...]], ...]] = {
    "strategy:fedavg": (
        ("clients_per_round", (-1, 0, 2.5, True, "3", [1], 2**62)),
        ("over_selection", (-1, 0, True, "2", [1])),
        ("deadline_seconds", (-1, 0, True, "2", [1])),
        ("late", ("never", 1, True)),
        ("min_replies", (-1, 0, 2.5, True, "1", 2**62)),
        ("max_update_norm", (-1, 0, True, "1")),
    ),
    "strategy:flwr.serverapp.strategy:FedAdam": (
        ("fraction_train", (-1, 1.5, True, "all", [0.5])),
        ("fraction_evaluate", (-1, 1.5, True, "all")),
        ("min_available_nodes", (-1, 2.5, True, "2", 2**62)),
        ("eta", (-1, 0, True, "x", 1e29)),
        ("beta_1", (-1, 1, 2, True)),
        ("weighted_by_key", (1, True, [])),
        ("train_metrics_aggr_fn", ()),
    ),
    "link:constant": (
        ("bandwidth", (-1, 0, True, "fast", "5e-324MB/s", "1e300GB/s", [1], 1e-29)),
        ("latency_seconds", (-1, True, "1", [1], 1e29)),
    ),
    "link:uniform": (("low", (-1, 0, True, "x")), ("per", ("week", 1))),
    "link:log_normal": (("sigma", (-1, 11, True, "1")), ("median", (0, True, "x"))),
    "link:per_client": (("bandwidths", ([], "1MB/s", [True], [0], 3)),),
    "availability:bernoulli": (("dropout", (-1, 2, True, "0.1", [0])), ("seed", (1.5, True, "1"))),
    "client:adapter": (
        ("learning_rate", (-1, 0, True, "0.1", 1e29)),
        ("batch_size", (-1, 0, 2.5, True, "4", 2**62)),
        ("epochs", (-1, 0, 2.5, True, "4")),
        ("clip_norm", (-1, 0, True, "1")),
        ("cached_depths", (0, -1, 1.5, True, "1")),
        ("optimizer", ("adam", 1, True)),
        ("cache", (1, "yes", 0)),
    ),
}


def an_option(draws: random.Random) -> Case:
    place = draws.choice(list(OPTIONS))
    table, _, name = place.partition(":")
    option, wrong = draws.choice([each for each in OPTIONS[place] if each[1]])
    given = {option: draws.choice(wrong)}
    given = {"low": "1MB/s", "high": "2MB/s"} | given if name == "uniform" else given
    made = experiment(**{f"{table}.name": name, f"{table}.options": given})
    return estimated("options", made, wrong=True, names=(option, "bandwidth"))


def a_codec(draws: random.Random) -> Case:
    spec = draws.choice(
        [
            "int9",
            "top-k",
            "top-k:0",
            "top-k:2",
            "top-k:true",
            "top-k:nan",
            "int8:up",
            "fp16:1",
            {"name": 3},
            {},
            3,
            True,
        ]
    )
    where = draws.choice(["up", "down", "memory"])
    table = (
        experiment(**{f"codec.{where}": [spec]})
        if where != "memory"
        else experiment(**{"codec.memory": [spec], "codec.up": ["int8"]})
    )
    return estimated("options", table, wrong=True, names=("codec",))


PROFILE = """
memory_bytes = 4e9
computing_watts = 6
communicating_watts = 3
idle_watts = 2
[measured_at]
blocks = 2
hidden = 128
intermediate = 512
[latency_seconds.bert]
adapter = [1.0, 2.0, 3.0]
[peak_memory_bytes.bert]
adapter = [1e6, 2e6, 3e6]
"""


def a_profile(draws: random.Random) -> Case:
    change = draws.choice(
        [
            *[("computing_watts = 6", f"computing_watts = {bad}", "computing_watts") for bad in (*NEVER, '"6"', "-1")],
            *[("memory_bytes = 4e9", f"memory_bytes = {bad}", "memory_bytes") for bad in (*NEVER, "true", "0")],
            *[("hidden = 128", f"hidden = {bad}", "hidden") for bad in ("0", "-1", "1.5", str(2**62), "true")],
            *[
                ("[1.0, 2.0, 3.0]", bad, "adapter")
                for bad in ("[]", "[1.0]", "[nan, 1.0, 1.0]", '["1"]', "3", "[-1.0]")
            ],
            *[
                ("idle_watts = 2", f"idle_watts = 2\n{key} = {bad}", key)
                for key in ("peak_operations_per_second", "memory_bandwidth_bytes_per_second", "launch_seconds")
                for bad in ("0", "-1", "nan", '"fast"', "true")
            ],
            ("idle_watts = 2", "idle_watts = 2\nefficiency = 0.5", "efficiency"),  # of no peak
            ("idle_watts = 2", "idel_watts = 2", "idel_watts"),
            ("idle_watts = 2", "", "idle_watts"),
            ("bert", "gpt", "gpt"),
        ]
    )
    files = {"board.toml": PROFILE.replace(change[0], change[1], 1)}
    device = draws.random() < 0.5
    words = ("list", "devices", "board.toml", "--backbone", "2x128x512")
    if device:
        return Case(family="profiles", words=words, files=files, wrong=True, names=("board.toml",))
    made = experiment(**{"fleet.devices": {"board.toml": 1}})
    return estimated("profiles", made, files=files, wrong=True, names=("board.toml",))


TRACES: Mapping[str, tuple[str, str, dict[str, Any]]] = {
    "link.csv": ("link", "trace", {"path": "link.csv"}),
    "link.down": ("link", "trace", {"path": "link.down"}),
    "table.csv": ("link", "table", {"path": "table.csv"}),
    "there.csv": ("availability", "trace", {"path": "there.csv"}),
}
SOUND = {
    "link.csv": "seconds,bytes_per_second\n0,1000\n5,2000\n",
    "link.down": "1\n5\n9\n",
    "table.csv": "partition_id,down_bytes_per_second,up_bytes_per_second\n0,1000,1000\n",
    "there.csv": "partition_id,on_seconds,off_seconds\n0,0,100\n",
}
BAD_CELLS = ("nan", "inf", "-5", "x", "", "1e999", "5e-324", DIGITS, MEGABYTE, '"', "1\x00")


def a_trace(draws: random.Random) -> Case:
    name = draws.choice(list(TRACES))
    table, kind, options = TRACES[name]
    lines = SOUND[name].splitlines()
    cells = lines[-1].split(",")
    cells[draws.randrange(len(cells))] = draws.choice(BAD_CELLS)
    broken = draws.choice(
        [
            "\n".join([*lines[:-1], ",".join(cells)]) + "\n",
            "",
            lines[0] + "\n",
            "\x00",
            ",".join(cells),
            "\n" * 5,
            MEGABYTE,
        ]
    )
    if (name == "link.down" and broken in (lines[0] + "\n",)) or broken == SOUND[name]:
        broken = "minus one\n"
    if cells[-1] == "" and name == "link.down":
        broken = "x\n"
    made = experiment(**{f"{table}.name": kind, f"{table}.options": options})
    return estimated("traces", made, files={name: broken}, wrong=True, names=(name,))


def a_trajectory(draws: random.Random) -> Case:
    cell = draws.choice(["nan", "-1", "x", "", "1.5", "9" * 13, DIGITS, "0", MEGABYTE, "\x00"])
    text = draws.choice(
        [f"round,depth,width\n{cell},1,8\n", f"round,depth,width\n5,{cell if cell != '0' else 'x'},8\n", cell, "", DEEP]
    )
    words = ("estimate", "t.csv", "--backbone", "bert-tiny")
    return Case(family="traces", words=words, files={"t.csv": text}, wrong=True, names=("t.csv",))


def an_import(draws: random.Random) -> Case:
    kind = draws.choice(["flash-state", "flash-network", "fedscale-availability", "fedscale-device"])
    content: str | bytes = draws.choice(
        ["", "{", "[]", "3", DEEP, "{}", '{"a": 1}', '{"a": {"messages": 3}}', b"\x80\x04N.", b"\x80\x04cos\nsystem\n."]
    )
    words = ("import-traces", kind, "in", "--out", "out.csv")
    return Case(family="traces", words=words, files={"in": content}, wrong=True)


LINK = (
    "class Mine:\n"
    "    def transfer_seconds(self, num_bytes, *, direction, partition_id, server_round, start_seconds):\n"
    "        {body}\n"
)
AVAILABILITY = (
    "import math\n"
    "class Mine:\n"
    "    def available(self, partition_id, *, server_round, at_seconds): {available}\n"
    "    def until(self, partition_id, *, server_round, at_seconds): {until}\n"
    "    def next_change(self, at_seconds): {change}\n"
)
CODEC = (
    "import numpy as np\n"
    "class Mine:\n"
    "    lossless, final = True, False\n"
    "    def encode(self, array, generator): {body}\n"
    "    def decode(self, reader, shape, rest): return rest(shape)\n"
)
STRATEGY = "from flwr.serverapp.strategy import FedAvg\nclass Mine(FedAvg):\n    def {method}(self, *a, **k): {body}\n"
RAISES = ("raise KeyError('k')", "raise SystemExit(0)", "1 / 0", "raise MemoryError()", "raise StopIteration", "[][1]")


def a_plugin_at_import(draws: random.Random) -> Case:
    table = draws.choice(["link", "availability", "strategy", "client.trains"])
    code = draws.choice(
        ["raise SystemExit", "raise KeyError('x')", "def f(:", "\x00", "import nothing_there", "Mine = 3"]
    )
    key = "client.trains" if table == "client.trains" else f"{table}.name"
    return estimated(
        "plugins",
        experiment(**{key: "mine.py:Mine"}),
        files={"mine.py": code},
        wrong=True,
        names=("mine.py", "options", table),
    )


def a_link_plugin(draws: random.Random) -> Case:
    values = ("float('nan')", "-1", "float('inf')", "None", "'fast'", "True", "[1]", "1e300", "1j")
    body = draws.choice([*RAISES, *(f"return {value}" for value in values)])
    made = experiment(**{"link.name": "mine.py:Mine"})
    return estimated(
        "plugins", made, files={"mine.py": LINK.format(body=body)}, wrong=True, names=("transfer_seconds",)
    )


def an_availability_plugin(draws: random.Random) -> Case:
    bodies = {"available": "return True", "until": "return math.inf", "change": "return None"}
    method = draws.choice(["available", "until", "change"])
    wrong = {
        "available": ("return 3", "return None", "return 'yes'"),
        "until": ("return math.nan", "return -1", "return None", "return 'late'"),
        "change": ("return at_seconds", "return at_seconds - 5", "return math.nan", "return 'soon'", "return True"),
    }
    bodies[method] = draws.choice([*wrong[method], *RAISES])
    made = experiment(**{"availability.name": "mine.py:Mine"})
    name = {"change": "next_change"}.get(method, method)
    code = AVAILABILITY.format(**bodies)
    return estimated("plugins", made, files={"mine.py": code}, wrong=True, names=(name,))


def a_codec_plugin(draws: random.Random) -> Case:
    body = draws.choice([*RAISES, "return array", "return None", "return 'x', array", "return b'', array > 0"])
    made = experiment(**{"codec.down": ["mine.py:Mine"]})
    return estimated("plugins", made, files={"mine.py": CODEC.format(body=body)}, wrong=True, names=("encode",))


def a_strategy_plugin(draws: random.Random) -> Case:
    method = draws.choice(["__init__", "configure_train", "aggregate_train"])
    returns = () if method == "__init__" else ("return None", "return 3", "return [1]", "return 'text'")
    body = draws.choice([*RAISES, *returns])
    made = experiment(**{"strategy.name": "mine.py:Mine", "strategy.options": {}})
    code = STRATEGY.format(method=method, body=body)
    return estimated("plugins", made, files={"mine.py": code}, wrong=True, names=(method, "strategy"))


OBSERVER = "class Mine:\n    def __init__(self, *, bound: int = 0): {body}\n    def {method}(self, *told): ...\n"


def a_tracker(draws: random.Random) -> Case:
    names = ["tensorbord", "", "mlflow.server", "mine.py:", ":Mine", "mine.py:Absent", "none.py:Mine", "x" * 9999]
    made = experiment(**{"tracking.to": [draws.choice(names)]})
    return estimated("plugins", made, files={"mine.py": "x = 1"}, wrong=True, names=("tracking",))


def options_of_a_tracker(draws: random.Random) -> Case:
    name, wrong = draws.choice(
        [
            ("tensorboard", {"folder": "x"}),
            ("tensorbord", {}),
            ("mine.py:Mine", {"bound": draws.choice(["1", True, 1.5, [1]])}),
            ("mine.py:Mine", {"limit": 3}),
        ]
    )
    made = experiment(**{"tracking.to": ["tensorboard", "mine.py:Mine"], "tracking.options": {name: wrong}})
    code = OBSERVER.format(method="on_round", body="pass")
    return estimated("plugins", made, files={"mine.py": code}, wrong=True, names=("tracking.options", "options."))


def an_observer_plugin(draws: random.Random) -> Case:
    method, body = draws.choice([("on_rounds", "pass"), ("hear", "pass"), *(("on_round", each) for each in RAISES)])
    made = experiment(**{"tracking.to": ["mine.py:Mine"]})
    code = OBSERVER.format(method=method, body=body)
    return estimated("plugins", made, files={"mine.py": code}, wrong=True, names=("tracking",))


SET = (
    "import numpy as np\n"
    "from dataclasses import dataclass\n"
    "from fedlab.models.peft.base import SplitPoint\n"
    "from fedlab.workload.passes import WHOLE\n"
    "@dataclass(frozen=True, kw_only=True)\n"
    "class Mine:\n"
    "    depth: int = 1\n"
    "    spec = WHOLE\n"
    "    @property\n"
    "    def configuration(self): {configuration}\n"
    "    def shapes(self, sizes): {shapes}\n"
    "    def initial(self, sizes, generator, weights): {initial}\n"
    "    def split_point(self, blocks): {split_point}\n"
)


def a_set_plugin(draws: random.Random) -> Case:
    bodies = {
        "configuration": "return {'set': 'mine.py:Mine', 'depth': self.depth}",
        "shapes": "return {'w': (2, 3)}",
        "initial": "return {'w': np.zeros((2, 3), np.float32)}",
        "split_point": "return SplitPoint(kind='block_input', block=1)",
    }
    wrong = {
        "configuration": ("return {}", "return None", "return {'set': 'head'}"),
        "shapes": (
            "return {'w': [2]}",
            "return None",
            "return {1: (2,)}",
            "return {'w': (-1,)}",
            "return {'v': (2, 3)}",
        ),
        "initial": ("return {}", "return {'w': 3}", "return {'w': np.full((2, 3), np.nan)}", "return 3"),
        "split_point": ("return 1", "return SplitPoint(kind='adapter', block=99)", "return None"),
    }
    method = draws.choice(list(bodies))
    bodies[method] = draws.choice([*wrong[method], *RAISES])
    made = experiment(**{"client.trains": "mine.py:Mine"})
    names = (method, "initial", "mine.py:Mine")
    return estimated("plugins", made, files={"mine.py": SET.format(**bodies)}, wrong=True, names=names)


def work_without_bound(draws: random.Random) -> Case:
    key, value = draws.choice(
        [
            ("rounds", 10**9),
            ("task.partition.clients", 10**7),
            ("client.width", 10**9),
            ("client.depth", 10**9),
            ("backbone.overrides.hidden_size", 10**9),
            ("backbone.overrides.num_hidden_layers", 10**7),
            ("backbone.overrides.vocab_size", 10**12),
            ("strategy.options.clients_per_round", 10**12),
            ("strategy.options.min_replies", 10**12),
            ("engine.workers", 10**9),
        ]
    )
    return estimated("work without bound", experiment(**{key: value}), wrong=True, names=(key.split(".")[-1], "set"))


JSON_WRONG = (None, True, -1, "x", [], {}, [1], {"a": 1}, 10**400, "x" * 100_000)


def a_run_folder(draws: random.Random) -> Case:
    file = draws.choice(["summary.json", "rounds.jsonl", "clients.jsonl", "trials.jsonl", "environment.json"])
    run = "adafl"
    command = draws.choice([("show", "old"), ("verify", "old"), ("compare", "old"), ("run", "--resume", "old")])
    choose, value = draws.random(), draws.choice(JSON_WRONG)
    garbage = draws.choice(["", "{", "[]", DEEP, f'{{"a": {DIGITS}}}', "\x00", "null\n", "3\n", MEGABYTE, "{}\n"])
    at = draws.randrange(10**6)

    def make(folder: Path) -> None:
        shutil.copytree(OLD_RUNS / run, folder / "old")
        path = folder / "old" / file
        if choose < 0.3:
            path.write_text(garbage)
            return
        lines = path.read_text().splitlines() if file.endswith("l") else [path.read_text()]
        if not lines:
            path.write_text(garbage)
            return
        record = json.loads(lines[0])
        record[sorted(record)[at % len(record)]] = value
        path.write_text("\n".join([json.dumps(record), *lines[1:]]) + "\n")

    return Case(family="run folders", words=command, makes=make)


def a_run_folder_to_reprice(draws: random.Random) -> Case:
    file, value = draws.choice(["clients.jsonl", "rounds.jsonl", "summary.json"]), draws.choice(JSON_WRONG)
    at = draws.randrange(10**6)

    def make(folder: Path) -> None:
        shutil.copytree(OLD_RUNS / "freeze", folder / "old")
        path = folder / "old" / file
        lines = path.read_text().splitlines() if file.endswith("l") else [path.read_text()]
        record = json.loads(lines[0])
        record[sorted(record)[at % len(record)]] = value
        path.write_text("\n".join([json.dumps(record), *lines[1:]]) + "\n")

    words = ("reprice", "old", "--set", "link.options.bandwidth=0.1MB/s", "--out", "made/new")
    return Case(family="run folders", words=words, makes=make)


def final_arrays(draws: random.Random) -> Case:
    content = draws.choice(
        [b"", b"x", b"\xff" * 64, (10**12).to_bytes(8, "little") + b"{}", b"\x02" + bytes(7) + b"{}"]
    )

    def make(folder: Path) -> None:
        shutil.copytree(OLD_RUNS / "freeze", folder / "old")
        (folder / "old" / "final.safetensors").write_bytes(content)

    return Case(family="run folders", words=("verify", "old"), makes=make, wrong=True, names=("final.safetensors",))


def a_sweep(draws: random.Random) -> Case:
    sweep = draws.choice(
        [
            {f"seed{at}": list(range(10)) for at in range(6)},
            {"seed": list(range(1000)), "rounds": list(range(1, 1001))},
            {"seed": []},
            {"seed": 3},
            {"variants": 3},
            {"variants": [{"name": ""}]},
            {"variants": [{"name": "a"}, {"name": "a"}]},
            {"compare": {"baseline": 3}, "seed": [0, 1]},
            {"sed": [1, 2]},
            {},
        ]
    )
    text = tomli_w.dumps({**experiment(), "sweep": sweep})
    return Case(family="experiment file", words=("sweep", "e.toml"), files={"e.toml": text}, wrong=True)


WORDS: tuple[tuple[str, ...], ...] = (
    ("fly",),
    ("list",),
    ("list", "colours"),
    ("list", "links", "x"),
    ("list", "devices", "nothing"),
    ("list", "devices", "jetson-tx2", "--backbone", "9999999x1x1"),
    ("list", "devices", "jetson-tx2", "--backbone", "0x0x0"),
    ("list", "devices", "jetson-tx2", "--backbone", f"{DIGITS}x1x1"),
    ("list", "devices", "jetson-tx2", "--seq-len", "-1"),
    ("list", "devices", "jetson-tx2", "--width", str(10**30)),
    ("run",),
    ("run", "e.toml", "--seed", "-1"),
    ("run", "e.toml", "--seed", str(2**64)),
    ("run", "e.toml", "--seed", DIGITS),
    ("run", "e.toml", "--workers", "0"),
    ("run", "e.toml", "--workers", str(10**18)),
    ("run", "e.toml", "--out", "e.toml"),
    ("run", "e.toml", "--speed", "9"),
    ("run", "--resume", "e.toml"),
    ("run", "--resume", "."),
    ("estimate", "e.toml", "--batches", "0"),
    ("estimate", "e.toml", "--batches", "x"),
    ("estimate", "e.toml", "--batches", str(10**30), "--labels", "3"),
    ("estimate", "e.toml", "--batches", "3", "--labels", str(10**30)),
    ("estimate", "e.toml", "--trajectory", "none.csv", *BATCHES),
    ("sweep", "e.toml", "--parallel", "0"),
    ("sweep", "e.toml"),
    ("compare",),
    ("compare", "a=", "b="),
    ("show", ""),
    ("verify", "e.toml"),
    ("reprice", "e.toml"),
    ("reproduce", "figure99"),
    ("import-traces", "x", "y", "--out", "z"),
    (
        "profile-device",
        "--backbone",
        "bert-tiny",
        "--out",
        "x.txt",
        "--watts-computing",
        "1",
        "--watts-communicating",
        "1",
    ),
    ("deploy", "fly"),
    ("client", "--server", "x"),
    (MEGABYTE,),
)


def words_of_the_command_line(draws: random.Random) -> Case:
    words = draws.choice(WORDS)
    return Case(family="command lines", words=words, files={"e.toml": tomli_w.dumps(BASE)}, wrong=True)


def png(height: int, width: int) -> bytes:
    """Return a grey image as a PNG file, by hand: a header, rows of zeros, each with a filter's byte, and an end."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        whole = kind + content
        return len(content).to_bytes(4, "big") + whole + zlib.crc32(whole).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 0, 0, 0, 0])
    rows = zlib.compress(bytes((width + 1) * height))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


IMAGES: Mapping[str, Any] = {
    "task.kind": "image",
    "task.data": "images",
    "backbone.name": "lenet",
    "client.name": "full",
    "task.partition.clients": 2,
}


def bad_images(draws: random.Random) -> Case:
    """Return folders of images of two labels, of which one is wrong, or keys that do not fit them."""
    files = {f"images/{label}/{number}.png": png(20, 20) for label in ("cat", "dog") for number in range(6)}
    wrong, keys, names = draws.choice(
        [
            ({"images/dog/3.png": b"\x89PNG and no more"}, {}, "3.png"),
            ({"images/dog/3.png": png(20, 20)[:50]}, {}, "3.png"),
            ({"images/dog/3.png": png(20, 21)}, {}, "3.png"),
            ({"images/dog/notes.txt": b"no image"}, {}, "notes.txt"),
            ({}, {"task.image_shape": [3, 20, 20]}, "task.image_shape"),
            ({}, {"task.image_shape": [20, 20]}, "image_shape"),
            ({}, {"task.image": "pixels"}, "task.image"),
            ({}, {"task.label": "animal"}, "task.label"),
            ({}, {"task.labels": ["cat", "horse"]}, "label 'dog'"),
            ({}, {"task.mean": [0.5]}, "std"),
            ({}, {"task.mean": [0.5], "task.std": [0.0]}, "std"),
            ({}, {"task.augment": ["rotate"]}, "task.augment"),
            ({}, {"task.text": "title"}, "text"),
            ({}, {"task.partition.scheme": "natural", "task.partition.column": "writer"}, "task.partition.column"),
            ({}, {"backbone.name": "vgg19"}, "backbone.name"),  # whose five poolings leave nothing of 20 pixels
            ({}, {"backbone.name": "bert-tiny"}, "backbone.name"),
            ({}, {"backbone.precision": "bf16"}, "backbone.precision"),
            ({}, {"client.name": "adapter"}, "client.name"),
        ]
    )
    table = experiment(**{**IMAGES, **keys})
    return Case(
        family="images",
        words=("data", "e.toml", "--out", "out"),
        files={"e.toml": tomli_w.dumps(table), **files, **wrong},
        wrong=True,
        names=(names,),
    )


FAMILIES: tuple[Callable[[random.Random], Case], ...] = (
    a_value_of_another_type,
    a_run_folder,
    an_option,
    a_trace,
    a_value_that_is_never_accepted,
    words_of_the_command_line,
    a_link_plugin,
    a_profile,
    a_setting,
    an_availability_plugin,
    a_broken_file,
    a_run_folder_to_reprice,
    a_file_that_is_none,
    a_strategy_plugin,
    a_trajectory,
    a_codec_plugin,
    a_key_that_is_not_there,
    an_import,
    a_setting_that_is_none,
    a_plugin_at_import,
    a_codec,
    a_set_plugin,
    work_without_bound,
    a_sweep,
    final_arrays,
    bad_images,
    a_tracker,
    options_of_a_tracker,
    an_observer_plugin,
)
