"""Orders whose model clients have kept, and the answer of a client that has not."""

import numpy as np
import pytest
from flwr.app import Message, MessageType

from fedlab.messages.flower_private import CLIENT_RAISED, error_reply, record_bytes, with_id
from fedlab.messages.kept_model import as_kept, is_kept, lacking_reply, lacks_model, with_kept, without_kept
from fedlab.messages.orders import group_of, order_content, read_order
from fedlab.messages.pack import to_record
from fedlab.messages.probes import arrays_of
from fedlab.messages.replies import TrainReport, train_reply, workload_flaw
from fedlab.workload.workload import Workload

MODEL = {"w": np.arange(1000, dtype=np.float32)}


@pytest.fixture
def order(server_identity):
    """Return a function that makes an order with the model, of a group."""
    return lambda group="": order_content(to_record(MODEL), server_round=3, configuration={"set": "head"}, group=group)


def message(content):
    return with_id(Message(content, 7, MessageType.TRAIN), "1")


def test_what_is_sent_of_an_order_whose_model_is_kept_has_no_arrays(order):
    kept = as_kept(order())
    assert (is_kept(kept), is_kept(order())) == (True, False)
    sent = without_kept(kept)
    assert arrays_of(message(sent)) is None
    assert record_bytes(sent) < 200
    assert record_bytes(order()) > 4000


def test_an_order_that_is_sent_again_has_the_model_and_a_group_of_its_own(order):
    again = message(with_kept(as_kept(order())))
    read = read_order(again)
    np.testing.assert_array_equal(read.arrays["w"], MODEL["w"])
    assert (read.server_round, read.configuration, read.group) == (3, {"set": "head"}, "resent")


def test_the_group_that_an_order_names_stays(order):
    kept = as_kept(order("larger"))
    assert group_of(message(with_kept(kept))) == "larger"
    assert group_of(message(kept)) == "larger"


def test_a_client_without_the_model_reports_no_work_and_is_told_from_all_others(order):
    asked = message(without_kept(as_kept(order())))
    lacking = lacking_reply(asked)
    assert lacks_model(lacking)
    assert workload_flaw(lacking) is None
    work = Workload(passes=(), num_examples=8)
    done = train_reply(asked, TrainReport(arrays=MODEL, num_examples=8, train_loss=1.0, workload=work, kind="scalars"))
    assert not lacks_model(done)
    assert not lacks_model(error_reply(asked, CLIENT_RAISED, "it failed"))
