"""Backbones: pretrained encoders with bottleneck adapters and a task head."""
