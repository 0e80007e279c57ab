"""Update codecs at work: a grid above that bills, and a ClientApp around the one that trains."""
