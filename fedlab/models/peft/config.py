"""The name under which the search and the estimates know the configurations of adapters."""

from fedlab.models.peft.bottleneck import Bottleneck

AdapterConfig = Bottleneck
