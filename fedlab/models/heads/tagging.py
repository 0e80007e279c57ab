"""One label a token, read off the token's own row."""

from fedlab.models.heads.linear import LinearHead

TAGGING = LinearHead(reads="every")
