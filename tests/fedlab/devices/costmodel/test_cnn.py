"""The cost model of convolutional networks: known points, monotone in the batch, one line for what has no rule."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlab.devices.costmodel.base import compute_seconds, cost_model_for, peak_memory_bytes, price
from fedlab.devices.costmodel.cnn import CnnCosts, batch_price
from fedlab.devices.costmodel.conv_methods import methods_of
from fedlab.devices.costmodel.conv_operators import conv_operators
from fedlab.devices.costmodel.conv_seconds import OperatorPricing
from fedlab.devices.costmodel.techniques import ALL_TECHNIQUES, NO_TECHNIQUES
from fedlab.devices.profile import at_throughput, load_profile
from fedlab.errors import UserError
from fedlab.models.cnn.named import convnet
from fedlab.workload.conv_shape import ConvShape, LayerCost
from fedlab.workload.passes import NOTHING, WHOLE, bottleneck
from fedlab.workload.workload import Workload, forward_passes, training_passes

PHONES = (
    "snapdragon-888",
    "snapdragon-865",
    "snapdragon-855",
    "snapdragon-855-full-clock",
    "snapdragon-750g",
    "xiaomi-mi9",
)
S888 = load_profile("snapdragon-888", Path())
ONE = LayerCost(
    name="conv", kind="convolution", macs=1000, parameters=10, inputs=100, outputs=200, unfolded=900, channels=2
)
TINY = ConvShape(name="tiny", input_shape=(1, 10, 10), labels=200, layers=(ONE,))


def ways():
    for phone in PHONES:
        profile = load_profile(phone, Path())
        for name, processor in profile.convolutions.items():
            for number_format in processor.formats:
                for method in methods_of(processor, number_format):
                    yield profile, name, number_format, method


WAYS = list(ways())


def trained(shape, *, batch_size=64, batches=1, **changes):
    options = {"depth": shape.blocks, "trained": WHOLE} | changes
    passes = training_passes(
        batches=batches, batch_size=batch_size, input_shape=shape.input_shape, model_blocks=shape.blocks, **options
    )
    return Workload(passes=passes, num_examples=batches * batch_size)


def test_the_operators_of_one_convolution_are_as_counted_by_hand():
    forward, gradient, update = conv_operators(TINY, "fp32")
    assert (forward.phase, forward.operations, forward.moved, forward.results, forward.unfolded) == (
        "forward", 2000, 100, 200, 900,
    )  # fmt: skip
    assert (gradient.phase, gradient.moved, gradient.results, gradient.fixed_results) == ("gradient", 300, 0, 10)
    assert (update.phase, update.operations, update.fixed_moved) == ("update", 0, 70)


def test_the_seconds_of_one_convolution_are_as_computed_by_hand():
    cpu = S888.convolutions["cpu"]
    rates = cpu.formats["fp32"]
    pricing = OperatorPricing(processor=cpu, rates=rates, number_format="fp32", techniques=NO_TECHNIQUES)
    forward = conv_operators(TINY, "fp32")[0]
    moved = 8 * (4 * (100 + 2 * 900) + 4 * 200)
    expected = 8 * 2000 / rates.operations_per_second.value + moved / rates.on_chip_bytes_per_second.value
    assert pricing.num_bytes(forward, 8) == moved
    assert pricing.seconds(forward, 8) == pytest.approx(expected + cpu.launch_seconds.value)


def test_a_network_of_integers_has_no_normalisation_and_quantises_its_images():
    phases = [each.phase for each in conv_operators(convnet("resnet18"), "int8")]
    assert phases[0] == "input"
    norms = sum(layer.kind == "norm" for layer in convnet("resnet18").layers)
    assert len(conv_operators(convnet("resnet18"), "fp32")) - len(phases) == 3 * norms - 1


@pytest.mark.parametrize(
    ("network", "processor", "number_format", "seconds", "joules"),
    [
        ("vgg11", "cpu", "fp32", 0.8940, 5.739), ("vgg11", "cpu", "int8", 0.7602, 4.706),
        ("vgg11", "dsp", "int8", 0.2302, 0.963), ("resnet18", "cpu", "fp32", 6.861, 44.05),
        ("resnet18", "cpu", "int8", 4.165, 25.78), ("resnet18", "dsp", "int8", 1.095, 4.583),
    ],
)  # fmt: skip
def test_the_batches_of_table_8_come_out_within_a_tenth(network, processor, number_format, seconds, joules):
    found = batch_price(S888, convnet(network), 64, processor=processor, number_format=number_format)
    assert found.seconds.value == pytest.approx(seconds, rel=0.1)
    assert found.joules.value == pytest.approx(joules, rel=0.1)


@pytest.mark.parametrize("technique", ["scheduling", "rescaling", "splitting", "reuse"])
@pytest.mark.parametrize("network", ["vgg11", "resnet18", "googlenet"])
def test_each_technique_saves_time(network, technique):
    def seconds(method):
        return batch_price(
            S888, convnet(network), 64, processor="dsp", number_format="int8", method=method
        ).seconds.value

    assert seconds("mandheling") < seconds(f"mandheling-no-{technique}") < seconds("niti")


def test_splitting_never_changes_the_operations():
    dsp = S888.convolutions["dsp"]
    for techniques in (ALL_TECHNIQUES, replace(ALL_TECHNIQUES, batch_splitting=False)):
        pricing = OperatorPricing(processor=dsp, rates=dsp.formats["int8"], number_format="int8", techniques=techniques)
        operators = conv_operators(convnet("vgg11"), "int8")
        parts = [pricing.part(each, 64) for each in operators]
        assert all(1 <= part <= 64 for part in parts)
        assert (min(parts) < 64) == techniques.batch_splitting
    assert sum(each.operations for each in operators) == pytest.approx(6 * convnet("vgg11").macs, rel=0.02)


@given(way=st.sampled_from(WAYS), batch=st.integers(1, 200), more=st.integers(1, 100))
@settings(deadline=None, max_examples=60)
def test_a_larger_batch_never_takes_less(way, batch, more):
    profile, processor, number_format, method = way
    small, large = (
        batch_price(profile, convnet("lenet"), size, processor=processor, number_format=number_format, method=method)
        for size in (batch, batch + more)
    )
    assert 0 < small.seconds.value < large.seconds.value
    assert 0 < small.joules.value < large.joules.value
    assert 0 < small.peak_bytes.value < large.peak_bytes.value


@pytest.mark.parametrize("network", ["vgg16", "resnet18"])
def test_a_larger_batch_of_a_larger_network_never_takes_less(network):
    for profile, processor, number_format, method in WAYS[:10]:
        found = [
            batch_price(
                profile, convnet(network), size, processor=processor, number_format=number_format, method=method
            )
            for size in (1, 2, 3, 7, 16, 33, 64, 65, 128, 300)
        ]
        for values in ([getattr(each, name).value for each in found] for name in ("seconds", "joules", "peak_bytes")):
            assert all(0 < a < b for a, b in pairwise(values)), (processor, method)


@pytest.mark.parametrize("network", ["vgg11", "resnet18", "lenet"])
def test_an_older_phone_is_no_faster_on_its_dsp(network):
    order = ("snapdragon-888", "snapdragon-865", "snapdragon-855", "snapdragon-750g")
    seconds = [
        batch_price(
            load_profile(phone, Path()), convnet(network), 32, processor="dsp", number_format="int8"
        ).seconds.value
        for phone in order
    ]
    assert seconds == sorted(seconds)


def test_the_cost_model_bills_a_workload_by_batches_and_at_the_power_of_the_format():
    shape = convnet("vgg11")
    one, three = trained(shape), trained(shape, batches=3, format="int8", processor="dsp")
    assert isinstance(cost_model_for("cnn"), CnnCosts)
    assert compute_seconds(S888, one, shape) == pytest.approx(batch_price(S888, shape, 64).seconds.value)
    found = batch_price(S888, shape, 64, processor="dsp", number_format="int8")
    needs = price(S888, three, shape)
    assert needs.compute_seconds == pytest.approx(3 * found.seconds.value)
    assert sum(each.watts * each.seconds for each in needs.computing) == pytest.approx(3 * found.joules.value)
    assert needs.peak_memory_bytes == peak_memory_bytes(S888, three, shape) == round(found.peak_bytes.value)
    fast = at_throughput(S888, 2.0)
    assert compute_seconds(fast, one, shape) == pytest.approx(compute_seconds(S888, one, shape) / 2)


def test_a_forward_pass_takes_less_than_training():
    shape = convnet("vgg11")
    passes = forward_passes(batches=1, batch_size=64, input_shape=(3, 32, 32), model_blocks=shape.blocks)
    forward = Workload(passes=passes, num_examples=64)
    assert 0 < compute_seconds(S888, forward, shape) < compute_seconds(S888, trained(shape), shape) / 2
    assert 0 < peak_memory_bytes(S888, forward, shape) < peak_memory_bytes(S888, trained(shape), shape)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depth": 2}, "no rule for a part of the layers of vgg11"),
        ({"trained": bottleneck(8)}, "no rule for a part of the layers of vgg11"),
        ({"trained": NOTHING, "depth": 0}, "no rule for a part of the layers of vgg11"),
        ({"checkpointing": True}, "no rule for a part of the layers of vgg11"),
        ({"format": "int4"}, "no rule for a convolutional network in int4, accepted: fp32, fp16, int8"),
        ({"format": "fp16"}, "the processor 'cpu' does not train convolutional networks in fp16, accepted: fp32, int8"),
        ({"processor": "dsp"}, "the processor 'dsp' does not train convolutional networks in fp32, accepted: int8"),
        ({"processor": "npu"}, "no figures for convolutional networks on the processor 'npu', accepted: cpu, gpu, dsp"),
    ],
)
def test_what_no_rule_covers_is_refused(changes, message):
    shape = convnet("vgg11")
    with pytest.raises(UserError, match=message):
        compute_seconds(S888, trained(shape, **changes), shape)


def test_images_of_another_size_are_refused():
    with pytest.raises(UserError, match=r"input_shape is \(3, 32, 32\), expected \(1, 28, 28\): vgg11's"):
        compute_seconds(S888, trained(convnet("vgg11")), replace(convnet("vgg11"), input_shape=(1, 28, 28)))


def test_a_board_without_figures_for_convolutional_networks_is_refused():
    with pytest.raises(UserError, match="jetson-tx2: has no figures for convolutional networks"):
        batch_price(load_profile("jetson-tx2", Path()), TINY, 1)


def test_a_method_that_a_processor_does_not_have_is_refused():
    with pytest.raises(UserError, match="no method 'mandheling' in fp32 on the processor 'cpu', accepted: backprop"):
        batch_price(S888, TINY, 1, method="mandheling")


def test_a_price_is_as_sure_as_its_least_sure_figure():
    meizu = load_profile("snapdragon-855", Path())
    assert batch_price(meizu, convnet("googlenet"), 4).seconds.provenance.level == "scaled"
    assert batch_price(meizu, convnet("mobilenet-v2"), 4).seconds.provenance.level == "assumed"
    assert batch_price(S888, convnet("vgg11"), 4, processor="gpu").joules.provenance.level == "assumed"
