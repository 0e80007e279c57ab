"""What the table of a number format can say."""

import pytest
from pydantic import ValidationError

from fedlab.models.quantised.number_format import FULL, NumberFormat


def test_without_keys_it_is_float32():
    assert FULL.exact
    assert NumberFormat(exponent_bits=8, mantissa_bits=23).exact
    assert not NumberFormat(exponent_bits=8, mantissa_bits=15).exact
    assert not NumberFormat(kind="integer").exact


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"kind": "integer", "exponent_bits": 5}, "exponent_bits: a format of kind = 'integer' has none"),
        ({"bits": 8}, "bits: a format of kind = 'float' has none"),
        ({"kind": "integer", "block_size": 32}, "expected group = 'block'"),
        ({"kind": "integer", "percentile": 99.0}, "expected scale = 'percentile'"),
        ({"kind": "integer", "recomputed": "adaptive"}, "expected scale = 'power-of-two'"),
        ({"kind": "integer", "scale_mantissa_bits": 1}, "expected scale = 'max' and groups"),
        ({"kind": "integer", "bits": 1}, "bits"),
        ({"kind": "integer", "rounding": "up"}, "rounding"),
        ({"kind": "integer", "scale": "mean"}, "scale"),
        ({"kind": "int"}, "kind"),
        ({"exponent": 5}, "exponent"),
    ],
)
def test_what_does_not_go_together_is_refused_by_key(keys, said):
    with pytest.raises(ValidationError, match=said):
        NumberFormat(**keys)
