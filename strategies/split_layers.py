"""Spry's split of what is trained over clients: each moves the values of a few blocks, and the head.

Source: "Thinking Forward: Memory-Efficient Federated Finetuning of Language Models", Panchal et al., NeurIPS 2024
(https://arxiv.org/abs/2405.15551).
"""

from collections.abc import Sequence

from fedlab.gradients.vectors import VectorLayout, spans_of


def spans_of_clients(
    layout: VectorLayout, partitions: Sequence[int], blocks_a_client: int
) -> dict[int, tuple[tuple[int, int], ...]]:
    """Return the spans of values that each partition moves: the blocks are dealt in turn, what is in none goes to all.

    Arrays of a block are called `block.I.`, and so on (`fedlab.models.peft`).
    """
    blocks = sorted({_block(name) for name in layout} - {""})
    shares = [blocks[start : start + blocks_a_client] for start in range(0, len(blocks), blocks_a_client)]
    spans = spans_of(layout)
    return {
        partition: _merged(
            [span for name, span in spans.items() if not shares or _block(name) in ("", *shares[place % len(shares)])]
        )
        for place, partition in enumerate(partitions)
    }


def _block(name: str) -> str:
    """Return the number of the block that an array is of, empty for one that is of none."""
    parts = name.split(".")
    return parts[1] if parts[0] == "block" and len(parts) > 2 else ""


def _merged(spans: Sequence[slice]) -> tuple[tuple[int, int], ...]:
    """Return spans, in order, as bounds; those that touch are one."""
    found: list[tuple[int, int]] = []
    for span in spans:
        if found and found[-1][1] == span.start:
            found[-1] = (found[-1][0], span.stop)
        else:
            found.append((span.start, span.stop))
    return tuple(found)
