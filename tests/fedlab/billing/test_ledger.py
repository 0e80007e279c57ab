"""The ledger holds a round's bills, which a strategy may read and remark on."""

from fedlab.billing.ledger import Ledger
from fedlab.results.records import ClientRecord


def client(partition_id, group="train", **rest):
    defaults = {
        "configuration": {}, "num_examples": 4, "batches": 1, "train_loss": 0.5, "joules": 7.0, "bytes_down": 0,
        "bytes_up": 0, "peak_memory_bytes": 0, "compute_seconds": 1.0, "download_seconds": 0.0, "upload_seconds": 0.0,
    }  # fmt: skip
    return ClientRecord(server_round=1, group=group, partition_id=partition_id, device="board", **defaults | rest)


def test_bills_add_up_until_the_next_round_opens():
    ledger = Ledger()
    ledger.bill([client(1), client(2)])
    ledger.bill([client(3, "evaluate")])
    assert [each.partition_id for each in ledger.clients] == [1, 2, 3]
    assert [each.partition_id for each in ledger.of_group("train")] == [1, 2]
    ledger.open()
    assert list(ledger.clients) == []


def test_refused_work_is_lost_but_was_paid_for():
    ledger = Ledger()
    ledger.bill([client(1), client(2)])
    ledger.refuse(1, "turned away: not finite")
    refused, other = ledger.clients
    assert (refused.dropout, refused.error) == ("refused", "turned away: not finite")
    assert (refused.num_examples, refused.train_loss, refused.joules) == (0, None, 7.0)
    assert other == client(2)


def test_of_several_bills_of_a_client_its_last_work_is_refused():
    ledger = Ledger()
    ledger.bill([client(1, "deep"), client(1, "wide")])
    ledger.refuse(1, "no")
    assert [each.error for each in ledger.clients] == [None, "no"]


def test_a_client_without_a_bill_cannot_be_refused():
    ledger = Ledger()
    ledger.refuse(1, "no")
    assert list(ledger.clients) == []


def test_a_failed_group_and_remarks_are_kept_until_the_next_round_opens():
    ledger = Ledger()
    ledger.fail("deep", "1 updates to average, 2 needed")
    ledger.note("3 late updates are lost")
    assert list(ledger.failed) == ["deep"]
    assert list(ledger.notes) == ["deep: 1 updates to average, 2 needed", "3 late updates are lost"]
    ledger.open()
    assert (list(ledger.failed), list(ledger.notes)) == ([], [])
