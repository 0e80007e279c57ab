"""The public interface: what scripts and user files import. Everything else in fedlab may move.

`Experiment`, `run`, `sweep`, `compare` and `estimate` are the command line in Python. A strategy, client, codec, link,
availability, data set or observer of your own needs nothing but this module, `fedlab.errors`, and Flower. A name is
imported from its own module on first use, so `import fedlab.api` itself loads nothing heavy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedlab.codecs.codec import Codec, GarbledError, Reader
    from fedlab.common.arrays import Arrays, Shape
    from fedlab.common.clock import Clock
    from fedlab.common.seeds import generator
    from fedlab.common.units import parse_bandwidth
    from fedlab.config.schema import Experiment
    from fedlab.messages.orders import Order, configuration_of, order_content, read_order
    from fedlab.messages.pack import from_record, to_record
    from fedlab.messages.replies import (
        EvaluateReport,
        TrainReport,
        evaluate_reply,
        query_reply,
        read_cost,
        read_workload,
        train_reply,
        workload_record,
    )
    from fedlab.messages.trains_together import TrainsTogether
    from fedlab.models.cnn.layers import (
        AveragePool,
        BatchNorm,
        Branches,
        Conv,
        DropoutLayer,
        Flatten,
        Linear,
        MaxPool,
        Relu,
        Residual,
        shape_after,
    )
    from fedlab.models.peft.base import ModelSizes, SplitPoint, TrainableSet
    from fedlab.models.peft.bottleneck import Bottleneck
    from fedlab.models.peft.head import HeadOnly
    from fedlab.models.peft.whole_blocks import Everything, TopBlocks
    from fedlab.network.availability import Availability
    from fedlab.network.links import Link
    from fedlab.results.recorder import Observer
    from fedlab.results.records import (
        CandidateRecord,
        ClientRecord,
        GroupRecord,
        RoundRecord,
        StepRecord,
        TrialRecord,
    )
    from fedlab.results.trackers.base import TrackedRun
    from fedlab.scripting.run import Run, run
    from fedlab.scripting.several import SweptRuns, compare, estimate, sweep
    from fedlab.server.context import Attached, Resumable, Searching, Server
    from fedlab.training.local import LocalTraining
    from fedlab.training.workbench import Workbench, open_workbench
    from fedlab.workload.shape import ModelShape
    from fedlab.workload.workload import Configuration, Cost, Workload

__all__ = [
    "Arrays",
    "Attached",
    "Availability",
    "AveragePool",
    "BatchNorm",
    "Bottleneck",
    "Branches",
    "CandidateRecord",
    "ClientRecord",
    "Clock",
    "Codec",
    "Configuration",
    "Conv",
    "Cost",
    "DropoutLayer",
    "EvaluateReport",
    "Everything",
    "Experiment",
    "Flatten",
    "GarbledError",
    "GroupRecord",
    "HeadOnly",
    "Linear",
    "Link",
    "LocalTraining",
    "MaxPool",
    "ModelShape",
    "ModelSizes",
    "Observer",
    "Order",
    "Reader",
    "Relu",
    "Residual",
    "Resumable",
    "RoundRecord",
    "Run",
    "Searching",
    "Server",
    "Shape",
    "SplitPoint",
    "StepRecord",
    "SweptRuns",
    "TopBlocks",
    "TrackedRun",
    "TrainReport",
    "TrainableSet",
    "TrainsTogether",
    "TrialRecord",
    "Workbench",
    "Workload",
    "compare",
    "configuration_of",
    "estimate",
    "evaluate_reply",
    "from_record",
    "generator",
    "open_workbench",
    "order_content",
    "parse_bandwidth",
    "query_reply",
    "read_cost",
    "read_order",
    "read_workload",
    "run",
    "shape_after",
    "sweep",
    "to_record",
    "train_reply",
    "workload_record",
]

PLACES = {
    # Experiments in scripts and notebooks.
    "Experiment": "fedlab.config.schema:Experiment",
    "run": "fedlab.scripting.run:run",
    "Run": "fedlab.scripting.run:Run",
    "sweep": "fedlab.scripting.several:sweep",
    "SweptRuns": "fedlab.scripting.several:SweptRuns",
    "compare": "fedlab.scripting.several:compare",
    "estimate": "fedlab.scripting.several:estimate",
    # Observers of a run, and what they are told.
    "Observer": "fedlab.results.recorder:Observer",
    "TrackedRun": "fedlab.results.trackers.base:TrackedRun",
    "RoundRecord": "fedlab.results.records:RoundRecord",
    "GroupRecord": "fedlab.results.records:GroupRecord",
    "ClientRecord": "fedlab.results.records:ClientRecord",
    "TrialRecord": "fedlab.results.records:TrialRecord",
    "CandidateRecord": "fedlab.results.records:CandidateRecord",
    "StepRecord": "fedlab.results.records:StepRecord",
    # Strategies: the server side of the run, and what a strategy may offer.
    "Server": "fedlab.server.context:Server",
    "Attached": "fedlab.server.context:Attached",
    "Searching": "fedlab.server.context:Searching",
    "Resumable": "fedlab.server.context:Resumable",
    "Clock": "fedlab.common.clock:Clock",
    "read_cost": "fedlab.messages.replies:read_cost",
    "read_workload": "fedlab.messages.replies:read_workload",
    "Cost": "fedlab.workload.workload:Cost",
    # Clients: orders, replies, and the work that a reply reports.
    "Order": "fedlab.messages.orders:Order",
    "read_order": "fedlab.messages.orders:read_order",
    "configuration_of": "fedlab.messages.orders:configuration_of",
    "order_content": "fedlab.messages.orders:order_content",
    "TrainReport": "fedlab.messages.replies:TrainReport",
    "train_reply": "fedlab.messages.replies:train_reply",
    "EvaluateReport": "fedlab.messages.replies:EvaluateReport",
    "evaluate_reply": "fedlab.messages.replies:evaluate_reply",
    "query_reply": "fedlab.messages.replies:query_reply",
    "Workload": "fedlab.workload.workload:Workload",
    "workload_record": "fedlab.messages.replies:workload_record",
    "TrainsTogether": "fedlab.messages.trains_together:TrainsTogether",
    "LocalTraining": "fedlab.training.local:LocalTraining",
    "Workbench": "fedlab.training.workbench:Workbench",
    "open_workbench": "fedlab.training.workbench:open_workbench",
    # Models: named arrays and their configuration.
    "Arrays": "fedlab.common.arrays:Arrays",
    "Shape": "fedlab.common.arrays:Shape",
    "to_record": "fedlab.messages.pack:to_record",
    "from_record": "fedlab.messages.pack:from_record",
    "Configuration": "fedlab.workload.workload:Configuration",
    "TrainableSet": "fedlab.models.peft.base:TrainableSet",
    "ModelSizes": "fedlab.models.peft.base:ModelSizes",
    "SplitPoint": "fedlab.models.peft.base:SplitPoint",
    "HeadOnly": "fedlab.models.peft.head:HeadOnly",
    "Bottleneck": "fedlab.models.peft.bottleneck:Bottleneck",
    "TopBlocks": "fedlab.models.peft.whole_blocks:TopBlocks",
    "Everything": "fedlab.models.peft.whole_blocks:Everything",
    "ModelShape": "fedlab.workload.shape:ModelShape",
    # Layers of networks for images.
    "AveragePool": "fedlab.models.cnn.layers:AveragePool",
    "BatchNorm": "fedlab.models.cnn.layers:BatchNorm",
    "Branches": "fedlab.models.cnn.layers:Branches",
    "Conv": "fedlab.models.cnn.layers:Conv",
    "DropoutLayer": "fedlab.models.cnn.layers:DropoutLayer",
    "Flatten": "fedlab.models.cnn.layers:Flatten",
    "Linear": "fedlab.models.cnn.layers:Linear",
    "MaxPool": "fedlab.models.cnn.layers:MaxPool",
    "Relu": "fedlab.models.cnn.layers:Relu",
    "Residual": "fedlab.models.cnn.layers:Residual",
    "shape_after": "fedlab.models.cnn.layers:shape_after",
    # Codecs.
    "Codec": "fedlab.codecs.codec:Codec",
    "Reader": "fedlab.codecs.codec:Reader",
    "GarbledError": "fedlab.codecs.codec:GarbledError",
    # Links and availability.
    "Link": "fedlab.network.links:Link",
    "Availability": "fedlab.network.availability:Availability",
    "parse_bandwidth": "fedlab.common.units:parse_bandwidth",
    # Keyed random draws.
    "generator": "fedlab.common.seeds:generator",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module; raises AttributeError for any other name."""
    if name not in PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = PLACES[name].partition(":")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return __all__
