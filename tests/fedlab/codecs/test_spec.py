"""Terms: what an experiment names is built, what cannot be is refused, what travels comes back."""

import sys

import numpy as np
import pytest

from fedlab.codecs.pipeline import Pipeline
from fedlab.codecs.quantiser import int4, int8
from fedlab.codecs.sparse import skip_zero_rows, top_k
from fedlab.codecs.spec import build_pipeline, name_of
from fedlab.errors import UserError

MINE = '''
"""A codec of a user's own: the mean of an array in place of all its values."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Mean:
    lossless = False
    final = True
    times: float

    def encode(self, array, generator):
        return np.array([array.mean() * self.times], "<f4").tobytes(), np.empty(0)

    def decode(self, reader, shape, rest):
        return np.full(shape, reader.take("<f4", 1)[0], np.float32)


def mean(*, times: float = 1.0):
    return Mean(times)


def seven():
    return 7
'''


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    yield tmp_path
    for module in [name for name in sys.modules if name.startswith("fedlab_user_mine")]:
        del sys.modules[module]


def refusal(specs, folder, **options):
    with pytest.raises(UserError) as caught:
        build_pipeline(specs, "codec.up", folder, **options)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize(
    ("specs", "codecs"),
    [
        ([], ()),
        (["int8"], (int8(),)),
        (["top-k:0.01", "int4"], (top_k(share=0.01), int4())),
        (["top-k:1", "skip-zero-rows"], (top_k(share=1), skip_zero_rows())),
        (
            [{"name": "top-k", "share": 0.5}, {"name": "int8", "rounding": "nearest"}],
            (top_k(share=0.5), int8(rounding="nearest")),
        ),
        (["int8:nearest"], (int8(rounding="nearest"),)),
        ([{"name": "top-k:0.25"}], (top_k(share=0.25),)),
    ],
)
def test_specs_are_names_with_an_argument_or_tables(specs, codecs, tmp_path):
    assert build_pipeline(specs, "codec.up", tmp_path) == Pipeline(codecs=codecs)


def test_a_codec_of_a_users_own_takes_part(folder):
    pipeline = build_pipeline(["skip-zero-rows", {"name": "mine.py:mean", "times": 2.0}], "codec.up", folder)
    array = np.array([[0.0, 0.0], [1.0, 2.0]], np.float32)
    data = pipeline.encode({"x": array}, np.random.default_rng(0))
    assert len(data) == 1 + 4
    np.testing.assert_array_equal(pipeline.decode(data, {"x": (2, 2)})["x"], [[0.0, 0.0], [3.0, 3.0]])


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        (["int9"], "no such name 'int9': did you mean 'int8'? accepted: fp16, int4, int8, skip-zero-rows, top-k"),
        (["top-k"], "missing key codec.up.top-k.share"),
        (["top-k:2"], "codec.up.top-k: share: 2 is not a number above 0 and at most 1"),
        (["skip-zero-rows:3"], "codec.up: 'skip-zero-rows' takes no options"),
        (["int8:sideways"], "codec.up.int8.rounding = 'sideways': expected one of"),
        ([{"name": "int8", "share": 1}], "unknown key codec.up.int8.share: accepted: rounding"),
        (["int8", "top-k:0.1"], "codec.up: 'int8' must be the last: it leaves nothing to encode"),
        (["mine.py:seven"], "codec.up: 'mine.py:seven' does not make a fedlab.codecs.codec.Codec"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(specs, message, folder):
    assert message in refusal(specs, folder)


def test_who_is_sent_terms_runs_only_what_is_built_in_or_trusted(folder):
    message = refusal(["os:system"], folder, trusted=["mine.py:mean"])
    assert message == "codec.up: codec 'os:system' is neither built in nor named in the client's own experiment"
    assert build_pipeline(
        [
            "int8",
        ],
        "codec.up",
        folder,
        trusted=[],
    ).codecs == (int8(),)
    assert build_pipeline(["mine.py:mean"], "codec.up", folder, trusted=["mine.py:mean"]).codecs


def test_a_codec_is_known_by_its_name():
    assert [name_of(spec) for spec in ("top-k:0.1", "mine.py:mean", {"name": "int8"})] == [
        "top-k",
        "mine.py:mean",
        "int8",
    ]
