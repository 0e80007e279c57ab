"""What an estimate can be asked for: names alone, so that the command line can offer them at no cost."""

from typing import Literal

# `forward` estimates the gradient of LoRA's pairs from two forward passes a batch, as FwdLLM does.
EstimateMethod = Literal["adapter", "adapter-nocache", "full", "freeze", "lora", "forward"]
# The methods of FwdLLM's published figures: `full`, `adapter`, `bitfit` and `fedadapter` send a gradient after every
# batch, `fedavg` trains adapters and sends once a round.
FwdllmMethod = Literal["forward", "full", "adapter", "bitfit", "fedadapter", "fedavg"]
PublishedMethod = Literal[
    "adapter", "adapter-nocache", "full", "freeze", "lora", "forward", "bitfit", "fedadapter", "fedavg"
]
Paper = Literal["adafl", "fwdllm"]
CodecName = Literal["none", "int8", "int4"]
ALL_BOARDS = "all"  # in place of a board
