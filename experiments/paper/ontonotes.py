"""OntoNotes 5 as the hub's tner/ontonotes5 has it, its tags by name instead of by number."""

import datasets

_FOLDER = "hf://datasets/tner/ontonotes5/dataset"
# By number, as the data set's label.json has them.
_TAGS = """
    O B-CARDINAL B-DATE I-DATE B-PERSON I-PERSON B-NORP B-GPE I-GPE B-LAW I-LAW B-ORG I-ORG B-PERCENT I-PERCENT
    B-ORDINAL B-MONEY I-MONEY B-WORK_OF_ART I-WORK_OF_ART B-FAC B-TIME I-CARDINAL B-LOC B-QUANTITY I-QUANTITY
    I-NORP I-LOC B-PRODUCT I-TIME B-EVENT I-EVENT I-FAC B-LANGUAGE I-PRODUCT I-ORDINAL I-LANGUAGE
""".split()  # noqa: SIM905  (as a list it would be a page)


def ontonotes(*, folder: str = _FOLDER) -> datasets.DatasetDict:
    """Return sentences of `tokens` and as many BIO `tags`; `folder` holds the data set's JSON files."""
    files = {
        "train": [f"{folder}/train{part:02d}.json" for part in range(4)],
        "validation": f"{folder}/valid.json",
        "test": f"{folder}/test.json",
    }
    features = datasets.Features(
        {
            "tokens": datasets.Sequence(datasets.Value("string")),
            "tags": datasets.Sequence(datasets.ClassLabel(names=_TAGS)),
        }
    )
    return datasets.load_dataset("json", data_files=files, features=features)
