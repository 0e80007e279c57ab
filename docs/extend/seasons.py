"""Sentences about the weather, labelled with the season."""

import random

import datasets

WORDS = {"summer": ["heat", "sunshine", "thunder"], "winter": ["frost", "ice", "snow"]}


def seasons(*, per_label: int = 100) -> datasets.DatasetDict:
    draw = random.Random(0)
    rows = [
        {"text": f"There was {draw.choice(words)} in the morning, and {draw.choice(words)} at night.", "label": label}
        for label, words in WORDS.items()
        for _ in range(per_label)
    ]
    return datasets.DatasetDict(train=datasets.Dataset.from_list(rows))
