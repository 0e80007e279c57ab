import subprocess
import sys

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from fedlab.compare.measurements import Measurement
from fedlab.compare.options import ComparisonOptions
from fedlab.compare.plots.curves import curve_over_seeds, draw_accuracy
from fedlab.compare.plots.draw import plot_comparison
from fedlab.compare.plots.style import Look
from fedlab.compare.plots.time_to_accuracy import draw_by_device, draw_by_link
from fedlab.compare.runs import find_runs
from fedlab.compare.summary import compare

HOUR = 3600.0
CURVE = [(HOUR, 0.4), (2 * HOUR, 0.8)]


@pytest.fixture
def compared(recorded, tmp_path):
    def call(*runs, **options):
        for number, (curve, settings) in enumerate(runs):
            recorded(f"runs/{number}", curve, settings)
        found = find_runs([str(tmp_path / "runs")], "test")
        return compare(found, ComparisonOptions(**{"shares": (1.0, 0.5)} | options))

    return call


def link(megabytes):
    return {"link.options.bandwidth": f"'{megabytes}MB/s'"}


def board(name):
    return {"fleet.devices": f"{{{name} = 1}}"}


def measured(*points):
    return [
        Measurement(server_round=at, seconds=seconds, accuracy=accuracy, num_bytes=0, joules=0.0)
        for at, (seconds, accuracy) in enumerate(points)
    ]


def texts(axes):
    return [text.get_text() for text in axes.texts]


def legend_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_mean_curve_holds_each_seeds_last_value_while_all_are_running():
    times, mean, std = curve_over_seeds([measured((1, 0.2), (3, 0.6)), measured((2, 0.4), (4, 0.8))])

    assert times.tolist() == [2, 3]
    assert mean == pytest.approx([0.3, 0.5])
    assert std == pytest.approx([0.02**0.5, 0.02**0.5])


def test_a_single_seed_is_its_own_curve_without_a_band():
    times, mean, std = curve_over_seeds([measured((1, 0.2), (3, 0.6))])

    assert (times.tolist(), mean.tolist(), std.tolist()) == ([1, 3], [0.2, 0.6], [0, 0])


def test_accuracy_is_drawn_over_hours_with_targets_and_a_legend(compared):
    comparison = compared((CURVE, {"label": "FT"}), ([(HOUR, 0.5)], {"label": "LF"}))

    figure = draw_accuracy(comparison.rows, Look(comparison), comparison.options)

    (axes,) = figure.axes
    assert axes.lines[0].get_xydata().tolist() == [[1.0, 0.4], [2.0, 0.8]]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("simulated time (hours)", "test accuracy")
    assert legend_of(figure) == ["FT", "LF", "shares of 0.800"]
    assert texts(axes) == ["100%", "50%"]


def test_time_can_be_logarithmic(compared):
    comparison = compared((CURVE, {}), log_time=True)

    assert draw_accuracy(comparison.rows, Look(comparison), comparison.options).axes[0].get_xscale() == "log"


def test_a_method_keeps_its_colour_in_all_pictures(compared):
    comparison = compared(
        *((CURVE, {"label": label} | link(speed)) for speed in (1, 10) for label in ("FT", "LF", "AdaFL"))
    )
    look = Look(comparison)

    lines = draw_by_link(comparison, comparison.rows, look)
    curves = draw_accuracy(comparison.rows[3:], look, comparison.options)

    assert len({look.colour(method) for method in ("FT", "LF", "AdaFL")}) == 3
    handle = lines.legends[0].legend_handles[2]
    assert to_rgb(handle.get_color()) == to_rgb(curves.axes[0].lines[2].get_color()) == to_rgb(look.colour("AdaFL"))


def test_bars_are_labelled_and_never_is_written_where_there_is_none(compared):
    runs = [(CURVE, {"label": "FT"} | board(name)) for name in ("jetson-tx2", "rpi-4b")]
    runs += [([(HOUR, 0.5)], {"label": "LF"} | board("jetson-tx2"))]
    comparison = compared(*runs)

    figure = draw_by_device(comparison, comparison.rows, Look(comparison))

    hard, easy = figure.axes
    assert [label.get_text() for label in hard.get_xticklabels()] == ["jetson-tx2", "rpi-4b"]
    assert texts(hard) == ["2.00", "never", "2.00"]
    assert texts(easy) == ["1.00", "1.00", "1.00"]
    assert [patch.get_height() for patch in hard.patches] == [2.0, 2.0]


def test_the_boards_of_a_mixed_fleet_stand_below_each_other(compared):
    runs = [(CURVE, board("jetson-tx2")), (CURVE, {"fleet.devices": "{jetson-tx2 = 1, rpi-4b = 1}"})]
    comparison = compared(*runs)

    axes = draw_by_device(comparison, comparison.rows, Look(comparison)).axes[0]

    assert [label.get_text() for label in axes.get_xticklabels()] == ["jetson-tx2", "jetson-tx2 +\nrpi-4b"]


def test_lines_are_over_the_bandwidth_in_megabytes_a_second(compared):
    comparison = compared(*(([(HOUR / speed, 0.8)], link(speed)) for speed in (10, 0.1, 1)), shares=(1.0,))

    (axes,) = draw_by_link(comparison, comparison.rows, Look(comparison)).axes

    assert axes.lines[0].get_xdata().tolist() == [0.1, 1.0, 10.0]
    assert axes.lines[0].get_ydata() == pytest.approx([10.0, 1.0, 0.1])
    assert (axes.get_xscale(), axes.get_yscale(), axes.get_xlabel()) == ("log", "log", "bandwidth (MB/s)")


def test_links_that_differ_in_more_than_bandwidth_stand_side_by_side(compared):
    latencies = ({"link.options.latency_seconds": latency} for latency in (0.1, 0.2))
    comparison = compared(*((CURVE, each) for each in latencies))

    axes = draw_by_link(comparison, comparison.rows, Look(comparison)).axes[0]

    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.1", "0.2"]


def test_a_target_that_is_never_reached_is_a_cross_above_the_lines(compared):
    runs = [(CURVE, {"label": "FT"} | link(speed)) for speed in (1, 10)]
    runs += [([(HOUR, 0.3)], {"label": "LF"} | link(speed)) for speed in (1, 10)]
    comparison = compared(*runs)

    figure = draw_by_link(comparison, comparison.rows, Look(comparison))

    assert "never reached" in legend_of(figure)
    crosses = [line for line in figure.axes[0].lines if line.get_marker() == "x"]
    assert [line.get_xdata().tolist() for line in crosses] == [[1.0, 10.0]]


def test_pictures_are_of_each_setting_and_of_what_differs(compared, tmp_path, monkeypatch):
    monkeypatch.setattr("fedlab.compare.plots.draw.save", lambda figure, path: path)
    runs = [(CURVE, link(1) | board(name)) for name in ("jetson-tx2", "rpi-4b")] + [(CURVE, link(10) | board("rpi-4b"))]

    files = plot_comparison(compared(*runs), tmp_path / "plots")

    assert sorted(file.name for file in files) == [
        "accuracy-jetson-tx2-1MBs.png", "accuracy-rpi-4b-10MBs.png", "accuracy-rpi-4b-1MBs.png",
        "time-by-device-1MBs.png", "time-by-link-rpi-4b.png",
    ]  # fmt: skip


def test_without_boards_or_links_that_differ_there_is_one_picture(compared, tmp_path):
    (file,) = plot_comparison(compared((CURVE, {"label": "A"}), (CURVE, {"label": "B"})), tmp_path / "plots")

    image = imread(file)
    assert image.shape[:2] == (750, 1200)
    assert np.ptp(image[..., :3]) > 0.9


def test_a_comparison_needs_none_of_the_heavy_packages_and_no_state_of_matplotlib():
    code = (
        "import sys, fedlab.compare.runs, fedlab.compare.write, fedlab.compare.summary;"
        "heavy = {'torch', 'flwr', 'ray', 'transformers', 'matplotlib'} & set(sys.modules);"
        "import fedlab.compare.plots.draw;"
        "print(sorted(heavy | ({'torch', 'flwr', 'ray', 'matplotlib.pyplot'} & set(sys.modules))))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
