"""The simplifications of AdaFL's published artifact, to which its hours are exact.

Traffic follows a rounded table of trained parameters, 4 bytes each, once down and once up a round, with MB = 10^6
bytes; a codec divides all of it. Latency goes by depth alone, whatever the width, and filling the cache is free.

Source: UbiquitousLearning/FedAdapter, exps_data/draw-performance-*.py.
"""

from collections.abc import Mapping

from fedlab.devices.tables import Point
from fedlab.estimate.slot import Rules, Traffic
from fedlab.estimate.spec import CodecName, EstimateMethod
from fedlab.workload.shape import Family

_PARAMETER_BYTES = 4
_DIVISORS: Mapping[CodecName, int] = {"none": 1, "int8": 4, "int4": 8}
_HEAD_PARAMETERS = 20_000
_ADAPTER_PARAMETERS_A_WIDTH = 12_500 / 8  # 0.0125 M for a width of 8

# Trained parameters by depth, head and pooler included; all blocks: the embeddings too. DistilBERT's are given in MB
# (2.4 30.8 59.2 87.6 116 144 172.4, and 268 with the embeddings): BERT's up to depth 5, and 67 M.
_BERT_PARAMETERS = (
    *(600_000, 7_700_000, 14_800_000, 21_900_000, 29_000_000, 36_000_000, 43_100_000),
    *(50_200_000, 57_300_000, 64_400_000, 71_500_000, 78_600_000, 109_500_000),
)
_WHOLE_PARAMETERS: Mapping[Family, tuple[int, ...]] = {
    "bert": _BERT_PARAMETERS,
    "distilbert": (*_BERT_PARAMETERS[:6], 67_000_000),
}


def published_rules(method: EstimateMethod, family: Family, codec: CodecName) -> Rules:
    """Return the artifact's rules for a base encoder of a family."""

    def traffic(depth: int, width: int) -> Traffic:
        num_bytes = round(parameters(method, family, depth, width) * _PARAMETER_BYTES / _DIVISORS[codec])
        return Traffic(num_bytes, num_bytes)

    return Rules(traffic=traffic, fills_cache=False, latency_width=Point().width)


def parameters(method: EstimateMethod, family: Family, depth: int, width: int) -> float:
    """Return the trained parameters as the artifact rounds (adapters: 0.02 M + depth x 0.0125 M x width / 8)."""
    if method in ("full", "freeze"):
        return _WHOLE_PARAMETERS[family][depth]
    return _HEAD_PARAMETERS + depth * _ADAPTER_PARAMETERS_A_WIDTH * width
