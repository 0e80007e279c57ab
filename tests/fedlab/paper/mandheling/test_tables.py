"""Mandheling's hours and watt-hours come out within a tenth, and MNN's latencies and memory within a quarter."""

import pytest

from fedlab.paper.cells import Section
from fedlab.paper.mandheling.figures import mandheling_figures
from fedlab.paper.mandheling.tables import METHODS, table6, table8
from fedlab.paper.reproduction import disagreements_of, mini_of, sections_of


@pytest.fixture(scope="module")
def eight() -> list[Section]:
    return table8(mandheling_figures())


@pytest.fixture(scope="module")
def six() -> list[Section]:
    return table6(mandheling_figures())


def titled(sections: list[Section], words: str) -> Section:
    [found] = [each for each in sections if words in each.title]
    return found


def differences(section: Section) -> list[float]:
    found = [cell.difference for cell in section.cells if cell.paper is not None]
    assert found
    assert None not in found
    return [abs(each) for each in found if each is not None]


@pytest.mark.parametrize(("words", "figures"), [("hours of", 12), ("watt-hours of", 12), ("A batch of 64", 12)])
def test_table_8_comes_out_within_a_tenth(eight, words, figures):
    section = next(each for each in eight if words in each.title)
    assert len(differences(section)) == figures
    assert max(differences(section)) <= 0.10


def test_mnns_latencies_come_out_within_a_quarter(eight):
    section = titled(eight, "MNN's training")
    assert len(differences(section)) == 40
    assert max(differences(section)) <= 0.25


def test_mnns_memory_comes_out_within_a_quarter(eight):
    section = titled(eight, "Resident memory")
    assert len(differences(section)) == 15
    assert max(differences(section)) <= 0.25


def test_the_federated_rows_say_that_they_rest_on_inferred_counts(eight):
    cells = titled(eight, "Table 8: hours").cells
    assert {cell.row for cell in cells if cell.inferred} == {"FEMNIST lenet", "CIFAR-100 vgg16"}
    assert len([cell for cell in cells if not cell.inferred]) == 6


def test_table_6_agrees_where_operations_are_six_for_each_multiply_add_and_says_where_not(six):
    section = titled(six, "Table 6")
    operations = {cell.row: cell.difference for cell in section.cells if cell.column == "million operations"}
    agreeing = ("VGG-11, CIFAR-10", "ResNet-34, CIFAR-10", "ResNet-18, ImageNet")
    assert all(abs(operations[row]) < 0.07 for row in agreeing)
    assert all(abs(difference) > 0.3 for row, difference in operations.items() if row not in agreeing)
    convolutions = {cell.row: cell.difference for cell in section.cells if cell.column == "convolutions"}
    assert [row for row, difference in convolutions.items() if difference] == ["InceptionV3, CIFAR-10"]
    said = " ".join(each.what for each in disagreements_of("mandheling-table6"))
    assert "VGG-16 would be 1.88 G" in said
    assert "94 convolutions, not 16" in said


def test_mandheling_is_the_fastest_on_each_phone_and_network(six):
    sections = [each for each in six if "figure 5" in each.title]
    assert len(sections) == 3
    for section in sections:
        for row in section.rows:
            cells = [section.at(row, by.words) for by in METHODS.values()]
            seconds = [cell.ours for cell in cells if cell is not None and cell.ours is not None]
            assert seconds[-1] == min(seconds)


@pytest.mark.parametrize("name", ["mandheling-table6", "mandheling-table8"])
def test_both_tables_are_reproduced_by_name_without_training(name):
    assert sections_of(name)
    assert disagreements_of(name)
    mini = mini_of(name, "20news")
    assert (mini is None) == (name == "mandheling-table6"), "there is nothing to train for sizes"
