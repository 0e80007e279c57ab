"""The hub's data sets and models that fedlab knows, the folders with copies of them, and whether the hub answers."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedlab.errors import UserError

DATA_VARIABLE = "FEDLAB_DATA"
MODELS_VARIABLE = "FEDLAB_MODELS"
_HUB_TIMEOUT_SECONDS = 5.0
# Where the copies are, beside the checkout that an experiment file lies in, if the variable is not set.
_USUAL_FOLDERS = {DATA_VARIABLE: ("shared/data",), MODELS_VARIABLE: ("models", "shared/models")}


@dataclass(frozen=True, kw_only=True)
class HubName:
    """A data set or model of the hub.

    `folders` are other names that a folder with a copy may have. `columns` are the names of columns in copies, with
    the hub's own, so that one experiment reads both; `answers.text` is the first of the list `text` in a column of
    structures. `options` go to `datasets.load_dataset`, and `format` is that of a copy's files.
    """

    about: str
    folders: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    format: str = "auto"


DATASETS: Mapping[str, HubName] = {
    "SetFit/20_newsgroups": HubName(
        about="20 Newsgroups by date: 11,314 posts, 7,532 to test, 20 labels", folders=("20news",)
    ),
    "SetFit/ag_news": HubName(
        about="AG News: 120,000 texts, 7,600 to test, 4 labels; the copy agnews27k has 27,544 of them",
        folders=("agnews27k",),
    ),
    "fancyzhx/ag_news": HubName(
        about="AG News with the labels by number; the copy agnews27k has 27,544 of its 120,000 texts",
        folders=("agnews27k",),
    ),
    "stanfordnlp/sst2": HubName(
        about="SST-2 of GLUE: 67,349 phrases of film reviews, 2 labels", columns={"text": "sentence"}
    ),
    "rajpurkar/squad": HubName(
        about="SQuAD 1.1: 87,599 questions about paragraphs; the copy squad has 4,330 of them",
        columns={"answer": "answers.text"},
    ),
    "SemEvalWorkshop/sem_eval_2010_task_8": HubName(
        about="SemEval-2010 task 8, relations between words: 8,000 sentences, 2,717 to test, 19 labels",
        folders=("semeval2010_task8",),
        columns={"text": "sentence", "label": "relation"},
        format="semeval2010-task8",
    ),
    "leondz/wnut_17": HubName(
        about="W-NUT 2017, emerging entities: 3,394 / 1,009 / 1,287 tagged sentences",
        folders=("wnut17",),
        columns={"tags": "ner_tags"},
        options={"revision": "refs/convert/parquet"},  # the data set itself is a script, which `datasets` runs no more
    ),
    "uoft-cs/cifar10": HubName(
        about="CIFAR-10: 50,000 images of 32 x 32, 10,000 to test, 10 labels; the copy cifar10 has 35,000",
        columns={"image": "img"},
    ),
}
MODELS: Mapping[str, HubName] = {
    "HuggingFaceTB/SmolLM2-135M-Instruct": HubName(about="SmolLM2, 135 million parameters", folders=("smollm2-135m",)),
}


def copy_at_hand(name: str, variable: str, base: Path) -> Path | None:
    """Return the file or folder with a copy of what a name stands for, or None if there is none.

    It is looked for in the folder that the environment variable names, relative to the working folder, or else in
    `shared/data` (models: `models`, `shared/models`) beside the git checkout that `base` lies in: under the whole name,
    the part after the slash, and the names that a copy is known to have.

    Raises:
        UserError: the variable names a folder that does not exist.
    """
    if Path(name).is_absolute() or name.startswith("~") or ".." in Path(name).parts:
        return None
    known = DATASETS if variable == DATA_VARIABLE else MODELS
    names = [name, *([name.rpartition("/")[2]] if name.count("/") == 1 else [])]
    if name in known:
        names += known[name].folders
    places = [folder / each for folder in _folders_of_copies(variable, base) for each in names]
    return next((place for place in places if place.exists()), None)


def hub_failure() -> Exception | None:
    """Return why the hub does not answer, None if it does.

    Ask before a download: the hub's libraries try again for most of a minute.
    """
    from huggingface_hub import constants, get_session  # noqa: PLC0415  (a quarter of a second)

    try:
        get_session().head(constants.ENDPOINT, timeout=_HUB_TIMEOUT_SECONDS)
    except Exception as error:  # no network, no such host, no certificate: each an exception of its own
        return error
    return None


def _folders_of_copies(variable: str, base: Path) -> Iterable[Path]:
    given = os.environ.get(variable)
    if given:
        folder = Path(given).expanduser()
        if not folder.is_dir():
            raise UserError(f"{variable} = '{given}': no such folder")
        return [folder]
    here = base.resolve()
    checkout = next((above for above in (here, *here.parents) if (above / ".git").exists()), None)
    return [] if checkout is None else [checkout.parent / usual for usual in _USUAL_FOLDERS[variable]]
