"""The figure of shifts: rounds of a client follow one another, and a picture is drawn of the busiest client."""

from fedlab.results.records import ShiftRecord
from fedlab.results.shift_plot import plot_shifts, shift_lines


def shifts(server_round, tensor, changes, *, partition_id=0, found=4, reused=6):
    return ShiftRecord(
        server_round=server_round, partition_id=partition_id, tensor=tensor, found=found, reused=reused, saturated=0,
        changes=changes,
    )  # fmt: skip


def test_the_steps_of_a_clients_rounds_follow_one_another():
    records = [shifts(1, "0.error", [[0, 7], [3, 8]]), shifts(2, "0.error", [[0, 8], [9, 7]])]
    assert shift_lines(records) == {"0.error": [(0, 7), (3, 8), (10, 8), (19, 7), (20, 7)]}


def test_a_picture_is_drawn_of_the_client_with_most_steps(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("fedlab.results.shift_plot.shift_lines", lambda records: drawn.extend(records) or {})
    few, many = shifts(1, "0.error", [[0, 7]]), [shifts(n, "0.error", [[0, 7]], partition_id=5) for n in (1, 2)]
    plot_shifts([few, *many], tmp_path / "a.png")
    assert drawn == many
    monkeypatch.undo()
    records = [shifts(1, f"{layer}.{kind}", [[0, layer]]) for layer in range(9) for kind in ("activation", "error")]
    plot_shifts(records, tmp_path / "b.png")
    assert (tmp_path / "b.png").read_bytes()[:4] == b"\x89PNG"
