import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread

from fedlab.results.plots import plot_accuracy
from fedlab.results.records import CandidateRecord, RoundRecord, TrialRecord


def adapters(depth=2, width=8):
    return {"set": "bottleneck", "depth": depth, "width": width}


HOUR = 3600.0


def round_(seconds, validation=None, test=None, *, depth=0, width=8):
    return RoundRecord(
        server_round=1, trial=1, simulated_seconds=seconds, configuration=adapters(depth, width), groups=[],
        validation_accuracy=validation, test_accuracy=test, wall_seconds=0.0,
    )  # fmt: skip


def trial(started, ended, winner):
    places = {"shallow": (0, 8), "deep": (2, 8), "wide": (0, 16)}
    candidates = [
        CandidateRecord(group=group, configuration=adapters(depth, width), rounds=1, seconds=1.0, joules=1.0,
                        bytes_down=1, bytes_up=1, validation_accuracy=0.5)
        for group, (depth, width) in places.items()
    ]  # fmt: skip
    return TrialRecord(
        trial=1, server_round=1, started_seconds=started, ended_seconds=ended, budget_seconds=ended - started,
        candidates=candidates, winner=winner, configuration=adapters(*places[winner]),
    )  # fmt: skip


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Return a function that plots and gives back the figure, which is written to tmp_path as well."""
    figures = []

    def keep(figure, path):
        figures.append(figure)
        FigureCanvasAgg.print_png(figure.canvas, path)

    monkeypatch.setattr(Figure, "savefig", keep)

    def draw(rounds, trials):
        plot_accuracy(rounds, trials, tmp_path / "accuracy.png")
        return figures[-1]

    return draw


def curve(figure, label):
    (line,) = [line for line in figure.axes[0].lines if line.get_label() == label]
    return line.get_xydata().tolist()


def test_the_file_is_an_image_that_is_not_blank(tmp_path):
    path = tmp_path / "accuracy.png"

    plot_accuracy([round_(60.0, 0.5, 0.4), round_(120.0, 0.6, 0.5)], [trial(0.0, 120.0, "deep")], path)

    image = imread(path)
    assert image.shape[:2] == (810, 1200)
    assert np.ptp(image[..., :3]) > 0.9


def test_curves_are_of_the_rounds_that_were_measured(drawn):
    figure = drawn([round_(60.0, 0.5, 0.4), round_(90.0), round_(120.0, 0.6)], [])

    assert curve(figure, "validation") == [[1.0, 0.5], [2.0, 0.6]]
    assert curve(figure, "test") == [[1.0, 0.4]]


@pytest.mark.parametrize(("end", "unit"), [(80.0, "seconds"), (2 * HOUR, "minutes"), (2.1 * HOUR, "hours")])
def test_the_unit_of_time_follows_the_range(drawn, end, unit):
    assert drawn([round_(end, 0.5)], []).axes[1].get_xlabel() == f"time ({unit})"


def test_upgrades_alone_are_labelled_with_depth_and_width(drawn):
    trials = [trial(0.0, 60.0, "shallow"), trial(60.0, 120.0, "deep"), trial(120.0, 180.0, "wide")]

    figure = drawn([round_(180.0, 0.5)], trials)

    labels = [(text.get_text(), text.get_position()[0]) for text in figure.axes[0].texts]
    assert labels == [("(2, 8)", 2.0), ("(0, 16)", 3.0)]


def test_labels_that_would_overlap_are_left_out(drawn):
    trials = [trial(0.0, 50.0, "deep"), trial(50.0, 51.0, "wide"), trial(51.0, 100.0, "deep")]

    figure = drawn([round_(100.0, 0.5)], trials)

    assert [text.get_text() for text in figure.axes[0].texts] == ["(2, 8)", "(2, 8)"]


def test_the_staircase_starts_where_the_first_trial_did(drawn):
    figure = drawn([round_(60.0, 0.5, depth=2), round_(120.0, 0.6, depth=2, width=16)], [trial(0.0, 60.0, "deep")])

    depth, width = figure.axes[1].lines[-1], figure.axes[2].lines[0]
    assert depth.get_xydata().tolist() == [[0.0, 0.0], [1.0, 2.0], [2.0, 2.0]]
    assert width.get_xydata().tolist() == [[0.0, 8.0], [1.0, 8.0], [2.0, 16.0]]
    assert (depth.get_drawstyle(), width.get_drawstyle()) == ("steps-post", "steps-post")


def configured(seconds, **configuration):
    return replace(round_(seconds), configuration=configuration)


def test_each_numeric_axis_has_a_line_and_a_scale_of_its_own(drawn):
    lora = {"set": "lora", "rank": 8, "alpha": 16, "targets": "q,v"}

    figure = drawn([configured(60.0, depth=4, **lora), configured(120.0, depth=5, **lora)], [])

    panels = figure.axes[1:]
    assert [axes.get_ylabel() for axes in panels] == ["depth", "rank", "alpha"]
    assert [axes.lines[-1].get_ydata().tolist() for axes in panels] == [[4, 4, 5], [8, 8, 8], [16, 16, 16]]
    assert len({(axes.lines[-1].get_color(), axes.lines[-1].get_linestyle()) for axes in panels}) == 3
    assert panels[1].spines["right"].get_position() != panels[2].spines["right"].get_position()


def test_a_set_without_axes_has_no_lines(drawn):
    figure = drawn([configured(60.0, set="everything")], [])

    assert len(figure.axes) == 2
    assert not figure.axes[1].lines
    assert not list(figure.axes[1].get_yticks())


def test_an_axis_has_a_gap_where_a_configuration_lacks_it(drawn):
    figure = drawn([configured(60.0, set="blocks", depth=1), configured(120.0, set="lora", depth=1, rank=4)], [])

    np.testing.assert_array_equal(figure.axes[2].lines[0].get_ydata(), [np.nan, np.nan, 4])


def test_an_upgrade_of_other_axes_is_labelled_in_words(drawn):
    shallow, deep = ({"set": "lora", "depth": depth, "rank": 8, "targets": "q,v"} for depth in (1, 2))
    whole = trial(0.0, 60.0, "deep")
    candidates = [replace(each, configuration=shallow) for each in whole.candidates]

    figure = drawn([configured(60.0, **deep)], [replace(whole, configuration=deep, candidates=candidates)])

    assert [text.get_text() for text in figure.axes[0].texts] == ["depth 2, rank 8, q,v"]
    assert "upgrade" in [line.get_label() for line in figure.axes[0].lines]


@pytest.mark.parametrize("rounds", [[], [round_(0.0)], [round_(60.0)], [round_(60.0, 0.5)]])
def test_a_run_with_hardly_anything_to_draw_is_drawn(tmp_path, rounds):
    plot_accuracy(rounds, [], tmp_path / "accuracy.png")

    assert (tmp_path / "accuracy.png").stat().st_size > 1000


def test_the_global_state_of_matplotlib_is_not_used(tmp_path):
    code = (
        "import sys, pathlib; from fedlab.results.plots import plot_accuracy;"
        "plot_accuracy([], [], pathlib.Path(sys.argv[1]));"
        "print('matplotlib.pyplot' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code, tmp_path / "a.png"], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"
