"""Federated fine-tuning of transformer adapters, charged in simulated hours, joules and bytes."""

from pathlib import Path as _Path

from fedlab.common.own_packages import pin_packages as _pin_packages

_pin_packages(_Path(__file__).resolve().parents[1])
