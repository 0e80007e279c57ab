from dataclasses import replace

import pytest

from fedlab.billing.simulated import Participation
from fedlab.deploy.server.measured_cost import Measured
from fedlab.devices.profile import load_profile
from fedlab.messages.measurements import Measures, Upload
from fedlab.workload.passes import bottleneck
from fedlab.workload.workload import Workload, training_passes

WORKLOAD = Workload(
    passes=training_passes(batches=4, batch_size=4, input_shape=(16,), model_blocks=2, depth=1, trained=bottleneck(8)),
    num_examples=14,
)
MEASURES = Measures(
    compute_seconds=3.0,
    prepare_seconds=1.0,
    peak_memory_bytes=5000,
    download_seconds=0.5,
    last_upload=Upload(num_bytes=100, seconds=1.0),
)
PART = Participation(
    workload=WORKLOAD,
    partition_id=2,
    server_round=1,
    bytes_down=1000,
    bytes_up=50,
    group="train",
    start_seconds=10.0,
    measures=MEASURES,
)


def board_of(folder, computing_watts, **others):
    """Return a TX2 of 2 W to communicate and 1 W to wait, with processors of these powers."""
    board = load_profile("jetson-tx2", folder)
    powers = {"default": computing_watts, **others}
    processors = {name: replace(board.processor(), name=name, computing_watts=watts) for name, watts in powers.items()}
    return replace(board, communicating_watts=2.0, idle_watts=1.0, processors=processors)


def billed(part, board=lambda partition_id: ("a laptop", None)):
    (bill,) = Measured(now_seconds=lambda: 20.0, board=board).bill([part], {})
    return bill


def test_a_part_is_billed_what_its_client_measured_and_the_rest_of_the_round_as_idle():
    bill = billed(PART)
    assert (bill.cost.download_seconds, bill.cost.compute_seconds, bill.cost.upload_seconds) == (0.5, 3.0, 0.5)
    assert bill.cost.idle_seconds == 6.0  # of the ten seconds since it was asked
    assert (bill.cost.bytes_down, bill.cost.bytes_up, bill.cost.peak_memory_bytes) == (1000, 50, 5000)
    assert bill.cost.joules == 0  # the power of a laptop is not known
    assert (bill.round_ends_seconds, bill.latency_provenance, bill.dropout) == (20.0, "measured", None)


def test_the_energy_is_the_power_of_the_board_over_measured_seconds(tmp_path):
    profile = board_of(tmp_path, 8.0)
    bill = billed(PART, board=lambda partition_id: ("jetson-tx2", profile))
    assert bill.cost.compute_joules == 24.0
    assert bill.cost.transfer_joules == 2.0
    assert bill.cost.idle_joules == 6.0


def test_the_power_is_that_of_the_processor_that_ran_and_unknown_where_several_shared_the_time(tmp_path):
    profile = board_of(tmp_path, 8.0, gpu=3.0)
    gpu = tuple(replace(each, processor="gpu") for each in WORKLOAD.passes)
    for passes, joules in ((gpu, 9.0), (WORKLOAD.passes + gpu, 0.0), ((), 24.0)):
        workload = Workload(passes=passes, num_examples=14)
        bill = billed(replace(PART, workload=workload), board=lambda partition_id: ("mine", profile))
        assert bill.cost.compute_joules == joules
    npu = tuple(replace(each, processor="npu") for each in WORKLOAD.passes)
    unknown = replace(PART, workload=Workload(passes=npu, num_examples=14))
    assert billed(unknown, board=lambda partition_id: ("mine", profile)).cost.compute_joules == 0.0


def test_a_client_that_measured_nothing_is_charged_its_bytes_alone():
    bill = billed(replace(PART, measures=None))
    assert (bill.cost.seconds, bill.cost.idle_seconds, bill.cost.bytes_up) == (0.0, 10.0, 50)
    assert bill.latency_provenance == ""


@pytest.mark.parametrize("partition_id", [0, 7])
def test_a_device_is_called_what_its_node_says(partition_id):
    measured = Measured(now_seconds=lambda: 0.0, board=lambda each: (f"board {each}", None))
    assert measured.device(partition_id) == f"board {partition_id}"
