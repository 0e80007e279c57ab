"""A batch of a convolutional network on a board, by processor, format and method."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedlab.cli.conv_table import conv_as_json
from fedlab.cli.list_names import list_device
from fedlab.cli.main import app
from fedlab.devices.profile import load_profile
from fedlab.errors import UserError
from fedlab.models.cnn.named import convnet


def test_json_has_seconds_joules_and_peak_by_processor_format_and_method():
    arguments = ["list", "devices", "snapdragon-855", "--backbone", "googlenet", "--batch-size", "4", "--json"]
    plain = json.loads(CliRunner().invoke(app, arguments, catch_exceptions=False).stdout)
    rows = {(row["processor"], row["format"], row["method"]): row for row in plain["batch"]}
    assert {("cpu", "fp32", "backpropagation"), ("cpu", "int8", "niti"), ("gpu", "fp32", "backpropagation"),
            ("dsp", "int8", "niti"), ("dsp", "int8", "mandheling")} <= rows.keys()  # fmt: skip
    measured = rows["cpu", "fp32", "backpropagation"]
    assert measured["seconds"] == pytest.approx(0.567, rel=0.25)
    assert measured["standing"] == {"seconds": "scaled", "joules": "scaled", "peak_bytes": "scaled"}
    assert all(row["seconds"] > 0 and row["joules"] > 0 and row["peak_bytes"] > 0 for row in rows.values())
    assert all(row["standing"].keys() == row["sources"].keys() for row in rows.values())


def test_the_batch_size_is_four_unless_it_is_said():
    profile = load_profile("snapdragon-855", Path())
    _, plain = list_device("snapdragon-855", {"backbone": "lenet"})
    assert plain == conv_as_json(profile, convnet("lenet"), 4)


def test_the_table_is_printed_with_marks_of_how_sure_each_figure_is():
    printed = CliRunner().invoke(app, ["list", "devices", "snapdragon-888", "--backbone", "vgg11"]).stdout
    assert "mandheling" in printed
    assert "~ scaled" in printed


@pytest.mark.parametrize(
    ("name", "said", "message"),
    [
        ("jetson-tx2", {}, "jetson-tx2: has no figures for convolutional networks"),
        ("snapdragon-888", {"seq_len": 5}, "--seq-len: is for encoders of texts, and vgg11 is a convolutional network"),
        ("snapdragon-888", {"width": 5}, "--width: is for encoders of texts"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(name, said, message):
    with pytest.raises(UserError, match=message):
        list_device(name, {"backbone": "vgg11", **said})
