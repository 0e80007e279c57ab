import pytest

from fedlab.compare.options import ComparisonOptions, options_from
from fedlab.errors import UserError


def test_nothing_said_is_the_default():
    assert options_from({}, "here") == ComparisonOptions()


def test_targets_are_percentages_the_largest_first():
    assert options_from({"targets": "90, 99.5"}, "here").shares == (0.995, 0.9)
    assert options_from({"targets": [50, 99, 50]}, "here").shares == (0.99, 0.5)


def test_keys_of_an_oracle_are_a_list_or_one_text():
    assert options_from({"oracle": "client.depth, client.width"}, "here").oracle == ("client.depth", "client.width")
    assert options_from({"oracle": ["client.depth"]}, "here").oracle == ("client.depth",)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"targets": "99,x"}, "targets = 'x'"),
        ({"targets": "0"}, "expected percentages above 0 and up to 100"),
        ({"targets": "101"}, "expected percentages above 0 and up to 100"),
        ({"targets": ""}, "targets"),
        ({"full_accuracy": 71}, "full_accuracy = 71"),
        ({"full_accuracy": 0.7, "reference": "FT"}, "full_accuracy and reference both say"),
        ({"smooth": 0}, "smooth = 0"),
        ({"split": "train"}, "split = 'train'"),
        ({"basline": "FT"}, "unknown key basline: did you mean 'baseline'?"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_with_its_place(table, message):
    with pytest.raises(UserError) as caught:
        options_from(table, "here")
    assert str(caught.value).startswith("here: ")
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
