"""The ledger: bills and notes of the current round, before they are recorded."""

from collections.abc import Sequence
from dataclasses import replace

from fedlab.results.records import ClientRecord


class Ledger:
    """The bills of the current round, and the strategy's verdicts: refused work, failed groups and notes."""

    def __init__(self) -> None:
        self._clients: list[ClientRecord] = []
        self._failed: list[str] = []
        self._notes: list[str] = []

    @property
    def clients(self) -> Sequence[ClientRecord]:
        """The bills, in the order of the messages."""
        return self._clients

    @property
    def failed(self) -> Sequence[str]:
        """The groups whose round failed."""
        return self._failed

    @property
    def notes(self) -> Sequence[str]:
        """The notes of the strategy."""
        return self._notes

    def open(self) -> None:
        """Begin a round with an empty ledger."""
        self._clients, self._failed, self._notes = [], [], []

    def bill(self, records: Sequence[ClientRecord]) -> None:
        """Enter the bills of clients."""
        self._clients.extend(records)

    def of_group(self, group: str) -> list[ClientRecord]:
        """Return the bills of a group."""
        return [record for record in self._clients if record.group == group]

    def refuse(self, partition_id: int, reason: str) -> None:
        """Mark the latest bill of a client as refused, with the reason."""
        places = [at for at, record in enumerate(self._clients) if record.partition_id == partition_id]
        for at in places[-1:]:
            self._clients[at] = replace(
                self._clients[at], error=reason, dropout="refused", num_examples=0, train_loss=None
            )

    def fail(self, group: str, reason: str) -> None:
        """Mark the round of a group as failed, with the reason."""
        self._failed.append(group)
        self.note(f"{group}: {reason}")

    def note(self, text: str) -> None:
        """Add a note on the round."""
        self._notes.append(text)
