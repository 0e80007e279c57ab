"""One label a text, read off its first row: [CLS], or <s>."""

from fedlab.models.heads.linear import LinearHead

CLASSIFICATION = LinearHead(reads="first")
