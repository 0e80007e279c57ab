"""Federated fine-tuning of transformer adapters, charged in simulated hours, joules and bytes."""
