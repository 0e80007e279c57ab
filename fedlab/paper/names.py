"""Names of reproducible tables and figures; only names, so that the command line imports them quickly."""

from typing import Literal

Reproducible = Literal["table1", "table2", "table3", "table4", "table5", "figure6", "figure7"]
FwdllmTable = Literal[
    "fwdllm-time", "fwdllm-energy", "fwdllm-network", "fwdllm-memory", "fwdllm-pacing", "fwdllm-scaling"
]
MandhelingTable = Literal["mandheling-table6", "mandheling-table8"]
PublishedTable = Literal[Reproducible, FwdllmTable, MandhelingTable]  # those of all papers
TaskName = Literal["20news", "agnews", "semeval", "ontonotes"]
