"""The configuration AdaFL searches: where adapters sit and how wide they are."""

from fedlab.models.peft.bottleneck import Bottleneck

AdapterConfig = Bottleneck
