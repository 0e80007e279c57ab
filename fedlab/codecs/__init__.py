"""Update codecs: named float32 arrays to few bytes and back, in pipelines of small steps."""
