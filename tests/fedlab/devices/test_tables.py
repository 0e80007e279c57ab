"""A figure is as sure as the least sure of those it is made of; a table is for the published batch unless it says."""

import itertools

import pytest
from pydantic import ValidationError

from fedlab.devices.tables import Point, least_sure
from fedlab.workload.shape import REFERENCE_SHAPES

FROM_SUREST = ["measured", "published", "scaled", "assumed"]


@pytest.mark.parametrize(("sure", "less"), itertools.combinations(FROM_SUREST, 2))
def test_of_two_standings_the_less_sure_one_holds_in_either_order(sure, less):
    assert least_sure(sure, less) == least_sure(less, sure) == least_sure(sure, sure, less) == less


def test_the_published_point_is_four_texts_of_256_tokens_and_width_32():
    assert Point() == Point(batch_size=4, sequence_length=256, width=32)


def test_a_batch_has_at_least_one_text_of_one_token():
    with pytest.raises(ValidationError):
        Point(sequence_length=0)


def test_the_published_encoders_are_the_base_models():
    sizes = {family: (each.blocks, each.hidden, each.intermediate) for family, each in REFERENCE_SHAPES.items()}
    twelve = dict.fromkeys(("bert", "roberta", "albert"), (12, 768, 3072))
    assert sizes == twelve | {"distilbert": (6, 768, 3072)}
