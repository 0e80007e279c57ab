import numpy as np
import pytest

from fedlab.config.file import experiment_of_run
from fedlab.config.schema import Experiment
from fedlab.data.own_data import Undivided, with_own_data
from fedlab.errors import UserError
from fedlab.training.bundle import prepare_workbench


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "texts.csv"
    path.write_text("text,label\nsome words,night\nothers,day\nmore,day\n")
    return path


def experiment(**task):
    return Experiment.model_validate(
        {"rounds": 1, "task": {"data": "elsewhere", "limit": 5, "labels": ["day", "night"]} | task}
    )


def test_the_data_are_the_nodes_and_all_else_the_experiments(own):
    task = with_own_data(experiment(max_length=16, partition={"clients": 9}), own).task
    assert (task.data, task.limit, task.partition.clients) == (str(own), None, 100)
    assert (task.labels, task.max_length) == (["day", "night"], 16)


def test_labels_must_be_listed(own):
    with pytest.raises(UserError, match=r"task\.labels is missing"):
        with_own_data(experiment(labels=None), own)


def test_a_vocabulary_made_from_the_texts_is_refused(own):
    random = Experiment.model_validate({"rounds": 1, "task": {"labels": ["day"]}, "backbone": {"name": "bert-tiny"}})
    with pytest.raises(UserError, match=r"backbone\.name = 'bert-tiny': its vocabulary is made from the texts"):
        with_own_data(random, own)


def test_data_that_are_not_there_are_named(tmp_path):
    with pytest.raises(UserError, match=r"data-path = '.*nothing\.csv': no such file or folder"):
        with_own_data(experiment(), tmp_path / "nothing.csv")


def test_whatever_partition_is_asked_for_everything_is_there():
    partitions = Undivided(np.arange(3), np.array([3]))
    assert partitions[0].tolist() == partitions[77_123].tolist() == [0, 1, 2]


def test_a_node_opens_its_own_data_with_the_labels_and_words_of_all(
    own, backbone, day_and_night, tmp_path, monkeypatch
):
    monkeypatch.setenv("FEDLAB_CACHE", str(tmp_path / "cache"))
    labels = 'task.labels=\'["day","night"]\''
    settings = f"task.data={day_and_night} task.max_length=16 backbone.name={backbone} {labels}"
    run_config = {"experiment": "experiments/quickstart.toml", "settings": settings}
    node_experiment, server_experiment = (experiment_of_run(run_config, clients=clients) for clients in (1, 2))
    node = prepare_workbench(node_experiment, own_data=own, state=tmp_path / "state")
    server = prepare_workbench(server_experiment)

    assert node.label_names == server.label_names == ("day", "night")
    assert node.tokens("train").labels.tolist() == [1, 0, 0]
    assert node.partitions[77_123].tolist() == [0, 1, 2]
    assert node.activations.folder.is_relative_to(tmp_path / "state")


def images(**task):
    about = {"kind": "image", "data": "elsewhere", "labels": ["0", "1"]} | task
    client = {"client": {"name": "full"}, "backbone": {"name": "lenet"}}
    return Experiment.model_validate({"rounds": 1, "task": about, **client})


def test_nodes_with_images_of_their_own_must_all_have_one_shape_and_normalisation(stripes, tmp_path, monkeypatch):
    monkeypatch.setenv("FEDLAB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(UserError, match=r"task.image_shape, task.mean and task.std are missing"):
        with_own_data(images(image_shape=[1, 16, 16]), stripes)
    given = {"image_shape": [1, 16, 16], "mean": [0.25], "std": [0.5]}
    node = prepare_workbench(images(**given), own_data=stripes)
    assert node.samples("train").pixels.shape == (160, 1, 16, 16)
    assert node.partitions[77_123].tolist() == list(range(160))
    assert node.task.images.scaling.mean == (0.25,)
    assert node.network.encoder.sizes.labels == 2
    with pytest.raises(UserError, match=r"160 of 160 images are not 1 x 28 x 28 .* as task.image_shape"):
        prepare_workbench(images(**given | {"image_shape": [1, 28, 28]}), own_data=stripes)
