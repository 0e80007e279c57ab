"""The comparison of our functions with a model of a library."""

import numpy as np
import pytest
import torch


@pytest.fixture(scope="session")
def assert_same_logits(tiny):
    """Return a function that compares what a library's model says of texts with what ours says."""

    def check(model, network, arrays, texts, *, atol):
        ids, lengths = texts
        ours = tiny.logits(network, ids, lengths, arrays)
        mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
        with torch.inference_mode():
            theirs = model(ids, attention_mask=mask).logits.numpy()
        assert ours.shape == theirs.shape
        for row, length in enumerate(lengths):
            real = length if network.kind == "tagging" else None  # what a tagger says of padding means nothing
            np.testing.assert_allclose(ours[row][:real], theirs[row][:real], atol=atol, rtol=0)

    return check
