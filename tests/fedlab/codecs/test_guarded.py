import numpy as np
import pytest

from fedlab.codecs.codec import GarbledError
from fedlab.codecs.spec import build_pipeline
from fedlab.errors import UserError

ARRAYS = {"w": np.ones(3, np.float32)}


@pytest.fixture
def pipeline(tmp_path):
    """Return a function that makes a pipeline of a codec whose methods have these bodies."""

    def make(encode="return b'', array", decode="return rest(shape)", lossless="True"):
        (tmp_path / f"{abs(hash((encode, decode, lossless)))}.py").write_text(
            "import numpy as np\n"
            "from fedlab.codecs.codec import GarbledError\n"
            "class Mine:\n"
            f"    lossless, final = {lossless}, False\n"
            f"    def encode(self, array, generator): {encode}\n"
            f"    def decode(self, reader, shape, rest): {decode}\n"
        )
        return build_pipeline([f"{abs(hash((encode, decode, lossless)))}.py:Mine"], "codec.down", tmp_path)

    return make


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise KeyError('w')", r"encode raised KeyError: 'w' \(\d+\.py, line 5\)"),
        ("return array", "encode returned array.*, expected bytes and an array of float32"),
        ("return 'text', array", "encode returned .*, expected bytes and an array of float32"),
        ("return b'', array.astype(int)", "encode returned .*, expected bytes and an array of float32"),
    ],
)
def test_what_encode_raises_or_returns_wrongly_is_one_line(pipeline, body, said):
    with pytest.raises(UserError, match=rf"^codec.down: '\d+\.py:Mine': {said}"):
        pipeline(encode=body).encode(ARRAYS, np.random.default_rng(0))


def test_double_precision_and_other_bytes_are_accepted(pipeline):
    data = pipeline(encode="return bytearray(b'x'), array.astype(np.float64)").encode(ARRAYS, np.random.default_rng(0))
    assert data == b"x" + ARRAYS["w"].tobytes()


@pytest.mark.parametrize("body", ["return rest(shape)[:1]", "return None", "raise OSError('disk')"])
def test_what_decode_raises_or_returns_wrongly_is_one_line(pipeline, body):
    with pytest.raises(UserError, match=r"^codec.down: '\d+\.py:Mine': decode (returned|raised) "):
        pipeline(decode=body).decode(ARRAYS["w"].tobytes(), {"w": (3,)})


def test_garbled_bytes_stay_the_senders_fault(pipeline):
    with pytest.raises(GarbledError, match="w: cut"):
        pipeline(decode="raise GarbledError('cut')").decode(b"", {"w": (3,)})


def test_what_a_codec_says_of_itself_is_true_or_false(pipeline):
    with pytest.raises(UserError, match="lossless returned 'maybe', expected True or False"):
        pipeline(lossless="'maybe'").lossless  # noqa: B018
