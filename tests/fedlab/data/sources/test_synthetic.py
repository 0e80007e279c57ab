"""Made-up texts are all as long as they are asked to be."""

from fedlab.data.sources.synthetic import texts


def test_texts_have_the_number_of_words_asked_for():
    found = texts(count=30, words=12)
    assert {len(text.split()) for text in found["train"]["text"]} == {12}
    assert [len(found[split]) for split in ("train", "validation", "test")] == [30, 1, 1]


def test_there_are_as_many_labels_as_in_the_paper_and_no_split_has_others():
    found = texts(count=30, words=12)
    assert len(set(found["train"]["label"])) == 20
    assert set(found["test"]["label"]) <= set(found["train"]["label"])
