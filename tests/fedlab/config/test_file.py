import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from fedlab.config.file import dotted_keys, experiment_from, load_experiment
from fedlab.config.schema import Experiment
from fedlab.errors import UserError

EVERY_LEVEL = [
    "",
    "task",
    "task.partition",
    "backbone",
    "strategy",
    "client",
    "fleet",
    "link",
    "engine",
    "evaluation",
    "checkpoint",
    "tracking",
    "codec",
    "availability",
]


def refusal(act):
    with pytest.raises(UserError) as caught:
        act()
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.fixture
def written(tmp_path):
    """Write an experiment file and return its path."""

    def write(text="rounds = 3\n", name="mine.toml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_a_file_is_read_key_by_key(written):
    experiment = load_experiment(
        written('rounds = 3\n[task.partition]\nclients = 7\n[link.options]\nbandwidth = "2MB/s"\n')
    )

    assert experiment.rounds == 3
    assert experiment.task.partition.clients == 7
    assert experiment.link.options == {"bandwidth": "2MB/s"}
    assert experiment.strategy.name == "adafl"


def test_an_experiment_is_named_for_its_file_unless_it_names_itself(written):
    assert load_experiment(written()).name == "mine"
    assert load_experiment(written('name = "other"\nrounds = 3\n')).name == "other"


def test_paths_start_at_the_files_folder(written, tmp_path):
    experiment = load_experiment(written())

    assert experiment.path("data/train.csv") == tmp_path / "data" / "train.csv"
    assert str(experiment.path("/data")) == "/data"


def test_one_text_column_needs_no_list(written):
    assert load_experiment(written(), ["task.text=title"]).task.text == ["title"]
    assert load_experiment(written(), ['task.text=["title", "body"]']).task.text == ["title", "body"]


def test_every_table_is_tried_below():
    tables = {"": Experiment} | {
        name: field.annotation
        for name, field in Experiment.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }

    assert {*tables, "task.partition"} == set(EVERY_LEVEL)


@pytest.mark.parametrize("table", EVERY_LEVEL)
def test_an_unknown_key_is_refused_with_its_place(written, table):
    path = written(f"{'' if table else 'nonsense = 1'}\nrounds = 3\n" + (f"[{table}]\nnonsense = 1\n" if table else ""))

    message = refusal(lambda: load_experiment(path))

    place = f"{table}.nonsense" if table else "nonsense"
    assert message.startswith(f"{path}: unknown key {place}: ")
    assert "accepted: " in message


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("sed=1", "unknown key sed: did you mean 'seed'? accepted: availability, backbone,"),
        (
            "task.lable=x",
            "unknown key task.lable: did you mean 'label'? accepted: augment, column_names, crop_padding,",
        ),
        ("task.partition.alpa=1", "unknown key task.partition.alpa: did you mean 'alpha'? accepted: alpha,"),
        ("backbone.nam=x", "unknown key backbone.nam: did you mean 'name'? accepted: initial, name, overrides,"),
        ("strategy.option.x=1", "unknown key strategy.option: did you mean 'options'? accepted: name, options"),
        ("engine.worker=1", "unknown key engine.worker: did you mean 'workers'? accepted:"),
    ],
)
def test_an_unknown_key_is_told_the_nearest(written, setting, message):
    assert message in refusal(lambda: load_experiment(written(), [setting]))


def test_a_key_that_is_set_by_the_program_is_not_advertised(written):
    assert "base_folder" not in refusal(lambda: load_experiment(written("rounds = 3\nnonsense = 1\n")))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("rounds=many", "rounds = 'many': input should be a valid integer"),
        ("rounds=0", "rounds = 0: input should be greater than or equal to 1"),
        ("task=3", "task = 3: input should be a valid"),
        ("task.max_length=40000", "task.max_length = 40000: input should be less than or equal to 32768"),
        ("task.partition.scheme=random", "task.partition.scheme = 'random': input should be 'iid', 'dirichlet'"),
        ("task.text=5", "task.text = 5: expected a column, or a list of columns"),
        ("name=a/b", "name = 'a/b': expected a name for a folder below runs/, so without '/'"),
        ("task.text=[1]", "task.text.0 = 1: input should be a valid string"),
        ("task.files.other=x", "task.files.other = 'other': input should be 'train', 'validation' or 'test'"),
        (
            "backbone.overrides.hidden_size=big",
            "backbone.overrides.hidden_size = 'big': input should be a valid integer",
        ),
        ("fleet.devices={}", "fleet.devices = {}: expected finite shares from 0 up, at least one of them positive"),
        ("link.server_bandwidth_up=fast", "link.server_bandwidth_up = 'fast': bandwidth 'fast' is not usable"),
        ("link.server_bandwidth_down=0", "link.server_bandwidth_down = 0: bandwidth 0.0 is not usable"),
        ("fleet.devices.rpi-4b=-1", "expected finite shares from 0 up, at least one of them positive"),
        ("fleet.devices.rpi-4b=nan", "fleet.devices.rpi-4b = nan: expected 0 or a finite number"),
        (
            "fleet.throughput={distribution='log-normal', median=1, sigma=2000}",
            "sigma = 2000: input should be less than",
        ),
        ("target_accuracy=1.5", "target_accuracy = 1.5: input should be less than or equal to 1"),
        ("name=", "name = '': string should have at least 1 character"),
    ],
)
def test_a_value_that_is_not_accepted_is_told_with_its_place(written, setting, message):
    path = written()

    told = refusal(lambda: load_experiment(path, [setting]))

    assert told.startswith(f"{path}: ")
    assert message in told


def test_an_experiment_that_never_stops_is_refused(written):
    path = written("seed = 1\n")

    message = refusal(lambda: load_experiment(path))

    assert message == f"{path}: nothing says when to stop: give rounds, simulated_hours or target_accuracy"


@pytest.mark.parametrize("setting", ["rounds=1", "simulated_hours=0.5", "target_accuracy=0.9"])
def test_any_one_of_three_says_when_to_stop(written, setting):
    experiment = load_experiment(written("seed = 1\n"), [setting])

    assert [experiment.rounds, experiment.simulated_hours, experiment.target_accuracy].count(None) == 2


@pytest.mark.parametrize(
    ("setting", "read", "value"),
    [
        ("seed=7", lambda e: e.seed, 7),
        ("task.partition.alpha=0.5", lambda e: e.task.partition.alpha, 0.5),
        ("backbone.name=bert-tiny", lambda e: e.backbone.name, "bert-tiny"),
        ('backbone.name="bert-tiny"', lambda e: e.backbone.name, "bert-tiny"),
        ("task.data=a=b", lambda e: e.task.data, "a=b"),
        ("task.data=", lambda e: e.task.data, ""),
        (" seed =7", lambda e: e.seed, 7),
        ("fleet.devices={rpi-4b = 2}", lambda e: e.fleet.devices, {"rpi-4b": 2.0}),
        ("strategy.options.deep.er=true", lambda e: e.strategy.options, {"deep": {"er": True}}),
        ("client.options.clip_norm=nan?", lambda e: e.client.options, {"clip_norm": "nan?"}),
        ("rounds=5", lambda e: e.rounds, 5),
        ('task.labels=["day", "night"]', lambda e: e.task.labels, ["day", "night"]),
        ("task.labels=[day, late night]", lambda e: e.task.labels, ["day", "late night"]),
        ("task.text=#text", lambda e: e.task.text, ["#text"]),
        ("task.delimiter=;", lambda e: e.task.delimiter, ";"),
        ('task.delimiter="\\t"', lambda e: e.task.delimiter, "\t"),
        ("task.delimiter=\\t", lambda e: e.task.delimiter, "\t"),
        ("task.delimiter=tab", lambda e: e.task.delimiter, "\t"),
        ("strategy.options.widths=[8, x]", lambda e: e.strategy.options, {"widths": [8, "x"]}),
        ("strategy.options.note=[a, {b]", lambda e: e.strategy.options, {"note": "[a, {b]"}),
    ],
)
def test_a_setting_is_a_dotted_key_with_a_value_as_toml_or_plain_text(written, setting, read, value):
    assert read(load_experiment(written(), [setting])) == value


def test_later_settings_win_and_neighbours_stay(written):
    path = written("rounds = 3\n[task.partition]\nclients = 7\nalpha = 2.0\n")

    partition = load_experiment(path, ["task.partition.clients=8", "task.partition.clients=9"]).task.partition

    assert (partition.clients, partition.alpha) == (9, 2.0)


def test_tables_within_tables_are_dotted_keys_but_for_those_that_are_one_value():
    table = {"rounds": 3, "codec": {}, "fleet": {"devices": {"rpi-4b": 2}, "seed": 1}}

    assert dotted_keys(table) == {"rounds": 3, "fleet.devices.rpi-4b": 2, "fleet.seed": 1}
    assert dotted_keys(table, {"fleet.devices"}) == {"rounds": 3, "fleet.devices": {"rpi-4b": 2}, "fleet.seed": 1}


@pytest.mark.parametrize("setting", ["rounds", "=3", "", " =3"])
def test_a_setting_without_key_or_value_is_refused(written, setting):
    message = refusal(lambda: load_experiment(written(), [setting]))

    assert message == f"--set {setting.strip()}: expected key=value, such as task.partition.alpha=0.5"


@pytest.mark.parametrize("value", ['""', "ab", "é", '"\\n"', "'\"'"])
def test_a_delimiter_is_one_character(written, value):
    message = refusal(lambda: load_experiment(written(), [f"task.delimiter={value}"]))

    assert "task.delimiter = " in message
    assert "expected one character, such as ';' or a tab" in message


def test_columns_are_named_once(written):
    message = refusal(lambda: load_experiment(written(), ["task.column_names=[text, label, text]"]))

    assert "task.column_names = " in message
    assert "names 'text' twice" in message


def test_a_setting_below_a_value_is_refused(written):
    message = refusal(lambda: load_experiment(written(), ["rounds.more=1"]))

    assert message == "--set rounds.more=1: 'rounds' is a value, not a table"


@pytest.mark.parametrize("setting", ["task..data=x", ".task=x", "task.=x"])
def test_an_empty_part_of_a_key_is_refused(written, setting):
    assert "expected key=value" in refusal(lambda: load_experiment(written(), [setting]))


@pytest.mark.parametrize("text", ["rounds = \n", "[task\n", "rounds = 3\nrounds = 4\n", "\x00"])
def test_what_is_not_toml_is_refused_with_the_file(written, text):
    path = written(text)

    assert refusal(lambda: load_experiment(path)).startswith(f"{path}: is not TOML: ")


def test_what_is_not_text_is_refused_with_the_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_bytes(b"name = '\xff'\n")

    assert refusal(lambda: load_experiment(path)) == f"{path}: cannot be read: not UTF-8 text"


def test_a_file_that_is_not_there_is_named(tmp_path):
    path = tmp_path / "none.toml"

    assert refusal(lambda: load_experiment(path)) == f"{path}: cannot be read: No such file or directory"
    assert refusal(lambda: load_experiment(tmp_path)) == f"{tmp_path}: cannot be read: Is a directory"


NAMES = st.sampled_from(EVERY_LEVEL[1:]) | st.text("abc.-_[] ", max_size=4)
VALUES = st.integers() | NAMES | st.none()


@given(st.dictionaries(NAMES, VALUES | st.dictionaries(NAMES, VALUES, max_size=2), max_size=3))
def test_any_table_is_an_experiment_or_refused_in_one_line(table):
    try:
        experiment = experiment_from(table | {"rounds": 1}, "file")
    except UserError as error:
        assert str(error).startswith("file: ")  # noqa: PT017  (either outcome is right)
        assert len(str(error).splitlines()) == 1  # noqa: PT017
    else:
        assert experiment.rounds == 1


@pytest.mark.parametrize(
    ("client", "trained"),
    [
        ({}, "bottleneck"),
        ({"name": "full"}, "everything"),
        ({"name": "freeze"}, "blocks"),
        ({"name": "mine.py:client"}, "bottleneck"),
        ({"name": "mine.py:client", "trains": "adapters"}, "bottleneck"),
        ({"name": "adapter", "trains": "head"}, "head"),
        ({"name": "full", "trains": "mine.py:Biases"}, "mine.py:Biases"),
        ({"name": "mine.py:client", "trains": "blocks"}, "blocks"),
        ({"name": "full", "trains": "everything"}, "everything"),
    ],
)
def test_what_is_trained_goes_by_the_client_unless_the_file_says(client, trained):
    assert experiment_from({"rounds": 1, "client": client}, "test").client.trained == trained


def test_what_a_built_in_client_does_not_train_cannot_be_asked_of_it():
    with pytest.raises(UserError, match="the client 'freeze' trains blocks, not adapters"):
        experiment_from({"rounds": 1, "client": {"name": "freeze", "trains": "adapters"}}, "test")


def test_a_set_that_is_not_built_in_has_to_be_a_reference():
    with pytest.raises(UserError, match=r"client\.trains = 'blokcs': no such set: did you mean 'blocks'\? acc"):
        experiment_from({"rounds": 1, "client": {"name": "mine.py:client", "trains": "blokcs"}}, "test")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"backbone": {"name": "bert-tiny"}}, "backbone.name = 'bert-tiny': task.kind = 'image' needs lenet, vgg11"),
        ({"backbone": {"name": "package:gt/model"}}, "task.kind = 'image' needs lenet"),
        ({"task": {}}, "backbone.name = 'lenet': task.kind = 'classification' needs a transformer"),
        ({"backbone": {"name": "lenet", "precision": "bf16"}}, "backbone.precision: is for transformers, not for 'le"),
        ({"backbone": {"name": "lenet", "overrides": {"hidden_size": 8}}}, "backbone.overrides: is for transformers"),
        ({"client": {"name": "adapter"}}, "client.name = 'adapter' trains bottleneck, but 'lenet' is trained whole"),
    ],
)
def test_images_need_a_network_for_images_that_is_trained_whole(keys, said):
    table = {"rounds": 1, "task": {"kind": "image"}, "backbone": {"name": "lenet"}, "client": {"name": "full"}}
    experiment_from(table, "images")
    experiment_from(table | {"backbone": {"name": "nets.py:mine"}}, "images")
    assert said in refusal(lambda: experiment_from(table | keys, "images"))


def test_the_measure_of_the_evaluation_is_that_of_the_task():
    table = {"name": "x", "rounds": 1, "evaluation": {"measure": "macro-f1"}}
    assert experiment_from(table, "x.toml").task.scored_by == "macro-f1"
    again = experiment_from(experiment_from(table, "x.toml").model_dump(), "x.toml")
    assert again.task.scored_by == again.evaluation.measure == "macro-f1"


@pytest.mark.parametrize(
    ("task", "measure", "message"),
    [
        ({"measure": "accuracy"}, "macro-f1", "evaluation.measure = 'macro-f1' and task.measure = 'accuracy'"),
        ({}, "rouge-l", "evaluation.measure = 'rouge-l': task.kind = 'classification' has accuracy, macro-f1"),
        ({}, False, "evaluation.measure = False: input should be 'accuracy'"),
        ({}, ["f1"], r"evaluation.measure = \['f1'\]: input should be 'accuracy'"),
        ({"measure": "rouge-l"}, None, "measure 'rouge-l': kind classification has accuracy, macro-f1"),
    ],
)
def test_a_measure_that_the_task_does_not_have_is_refused(task, measure, message):
    table = {"name": "x", "rounds": 1, "task": task, "evaluation": {"measure": measure}}
    with pytest.raises(UserError, match=message):
        experiment_from(table, "x.toml")


def test_only_a_network_for_images_is_drawn():
    table = {"rounds": 1, "backbone": {"name": "bert-tiny", "initial": "xavier-uniform"}}
    said = "backbone.initial: is for networks for images, not for 'bert-tiny'"
    assert said in refusal(lambda: experiment_from(table, "texts"))
