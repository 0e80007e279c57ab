"""Read experiment files: TOML, changed by `--set` and validated key by key."""

import re
import shlex
import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from fedlab.common.files import parse_toml, read_text
from fedlab.common.short_text import raised, short, shortened
from fedlab.config.plain_values import check_plain
from fedlab.config.plugins import nearest
from fedlab.config.schema import Experiment
from fedlab.errors import UserError

_BARE_LIST = re.compile(r"""\[([^\[\]{}"']*)\]""")


def load_experiment(path: Path, settings: Sequence[str] = ()) -> Experiment:
    """Read an experiment file and apply settings such as `task.partition.alpha=0.5`.

    Raises:
        UserError: the file cannot be read, or a key or value of the file or of a setting is not accepted.
    """
    table = read_table(path)
    if "sweep" in table:
        raise UserError(f"{path}: has a [sweep] table, so it describes several experiments: use fedlab sweep {path}")
    for setting in settings:
        key, value = parse_setting(setting)
        set_key(table, key, value, place=f"--set {shortened(setting)}")
    return experiment_from(table, str(path))


def read_table(path: Path) -> dict[str, Any]:
    """Read an experiment file without validation; its name and folder are filled in.

    Raises:
        UserError: the file cannot be read, or is not TOML.
    """
    table = _read(path)
    table.setdefault("name", path.stem)
    table.setdefault("base_folder", str(path.resolve().parent))
    return table


def parse_setting(setting: str) -> tuple[str, Any]:
    """Return key and value of a setting; the value is parsed as TOML, and is a string if it is not valid TOML.

    The words of an unquoted list are strings, too, because shells remove the quotes.

    Raises:
        UserError: the setting does not have the form key=value.
    """
    key, equals, text = setting.partition("=")
    if not equals or not all(part.strip() for part in key.split(".")):
        raise UserError(f"--set {shortened(setting)}: expected key=value, such as task.partition.alpha=0.5")
    return key.strip(), _value(text, setting)


def set_key(table: dict[str, Any], key: str, value: Any, *, place: str) -> None:
    """Set a dotted key of a table in place, creating its parent tables; `place` is named in errors.

    Raises:
        UserError: a parent in the key is a value, not a table.
    """
    *parents, last = key.split(".")
    for parent in parents:
        below = table.setdefault(parent, {})
        if not isinstance(below, dict):
            raise UserError(f"{place}: {short(parent)} is a value, not a table")
        table = below
    table[last] = value


def dotted_keys(table: Mapping[str, Any], whole: Collection[str] = (), prefix: str = "") -> dict[str, Any]:
    """Return a table of tables as dotted keys and values; empty tables leave nothing.

    The tables that `whole` names by their dotted keys stay as they are: they are one value.
    """
    flat: dict[str, Any] = {}
    for key, value in table.items():
        name = f"{prefix}{key}"
        below = isinstance(value, Mapping) and name not in whole
        flat |= dotted_keys(value, whole, f"{name}.") if below else {name: value}
    return flat


def changed(experiment: Experiment, changes: Mapping[str, Any], place: str) -> Experiment:
    """Return an experiment with dotted keys changed; None stands for the default, and `place` is named in errors.

    Raises:
        UserError: a key or a value is not accepted.
    """
    table = experiment.model_dump(mode="json", exclude_none=True)
    if "evaluation.measure" in changes or "evaluation" in changes:
        table["task"].pop("measure", None)  # it is the same key
    for key, value in changes.items():
        set_key(table, key, value, place=place)
    return experiment_from(table, place)


def experiment_of_run(run_config: Mapping[str, Any], *, clients: int) -> Experiment:
    """Return the experiment of a Flower run: `experiment` is a file of the app, `settings` are key=value words.

    `clients`, the number of nodes, replaces the number in the file.

    Raises:
        UserError: as `load_experiment`.
    """
    app_folder = Path(__file__).parents[2]
    said = str(run_config["settings"])
    try:
        settings = shlex.split(said)
    except ValueError as error:
        raise UserError(f"settings: {said!r}: {error}, expected key=value words, quoted as in a shell") from error
    clients_as_nodes = f"task.partition.clients={clients}"
    return load_experiment(app_folder / str(run_config["experiment"]), [*settings, clients_as_nodes])


def experiment_from(table: Mapping[str, Any], place: str) -> Experiment:
    """Validate the table of an experiment file; `place` is named in errors.

    Raises:
        UserError: a key or a value is not accepted.
    """
    try:
        return Experiment.model_validate(table)
    except ValidationError as error:
        raise UserError(f"{shortened(place, 120)}: {_one_line(error)}") from error


def _read(path: Path) -> dict[str, Any]:
    table = parse_toml(read_text(path), f"{path}: is not TOML")
    try:
        check_plain(table)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error
    return table


def _value(text: str, setting: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        words = _BARE_LIST.fullmatch(text.strip())
        return [_value(word.strip(), setting) for word in words[1].split(",")] if words else text
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; lists within lists
        raise UserError(f"--set {shortened(setting)}: its value cannot be read: {raised(error)}") from error


def _one_line(error: ValidationError) -> str:
    first = error.errors()[0]
    place = shortened(".".join(str(part) for part in first["loc"] if part != "[key]"), 120)
    if first["type"] == "extra_forbidden":
        return f"unknown key {place}: {nearest(str(first['loc'][-1]), _sibling_keys(first['loc']))}"
    message = first["msg"].removeprefix("Value error, ")
    if not place:
        return message
    value = short(first["input"])
    if isinstance(first["input"], dict) and value.endswith("..."):  # a whole table, whose keys the message names
        return f"{place}: {message}"
    return f"{place} = {value}: {message[0].lower()}{message[1:]}"


def _sibling_keys(location: tuple[int | str, ...]) -> list[str]:
    table: type[BaseModel] = Experiment
    for part in location[:-1]:
        annotation = table.model_fields[str(part)].annotation
        assert isinstance(annotation, type)
        assert issubclass(annotation, BaseModel)
        table = annotation
    return [name for name in table.model_fields if name != "base_folder"]
