"""An estimate by FwdLLM's cost model shows what its seconds are made of, and whether the board has room."""

import io
import json

from rich.console import Console

from fedlab.estimate.fwdllm.bill import FwdllmSlot, bill
from fedlab.estimate.fwdllm.rendering import plain_rounds, render_rounds
from fedlab.estimate.fwdllm.rounds import RoundsSegment

ROUNDS = [RoundsSegment(1, 7, 1)]


def shown(slot: FwdllmSlot) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(render_rounds(bill(ROUNDS, slot), slot))
    return " ".join(console.file.getvalue().split())


def test_the_table_names_the_slot_the_standing_and_the_parameters():
    text = shown(FwdllmSlot(method="adapter", device="jetson-tx2", batch_size=4))
    assert "adapter of distilbert-base on jetson-tx2, 10Mbit/s, 15 batches of 4 a round, 4 labels, as FwdLLM" in text
    assert "450,340 parameters, 7 evaluations" in text
    assert "provenance of the seconds: scaled" in text
    assert "the seconds of a batch are scaled from a batch of 8" in text


def test_what_does_not_fit_the_phone_is_said():
    slot = FwdllmSlot(backbone="roberta-large", method="full")
    assert "does not fit from round 1 on" in shown(slot)
    assert "does not fit" not in shown(FwdllmSlot(backbone="roberta-large"))


def test_plain_values_are_json_and_have_the_keys_of_every_estimate():
    plain = json.loads(json.dumps(plain_rounds(bill(ROUNDS, FwdllmSlot()))))
    assert list(plain) == [
        "seconds", "bytes_down", "bytes_up", "joules", "peak_memory_bytes", "by_segment", "parameters", "evaluations",
        "compute_seconds", "transfer_seconds", "provenance", "notes",
    ]  # fmt: skip
    assert plain["by_segment"][0]["configuration"] == {"set": "forward", "perturbations": 1}
