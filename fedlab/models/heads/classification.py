"""One label a text, read off the row that stands for it: [CLS], or <s>; of a decoder, the last real token."""

from fedlab.models.heads.linear import LinearHead

CLASSIFICATION = LinearHead(reads="text")
