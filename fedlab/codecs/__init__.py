"""Codecs: compress named float32 arrays, in pipelines of small steps."""
