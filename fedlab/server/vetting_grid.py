"""A grid that checks every reply before a strategy sees it: ours and Flower's own, in simulations and on real nodes."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from flwr.app import Message, MessageType
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fedlab.messages.flower_private import holding, unusable
from fedlab.messages.grids import GridAround
from fedlab.server.example_limits import ExampleLimits
from fedlab.server.reply_checks import (
    ArrayLayout,
    Form,
    RefusedError,
    UpdateTerms,
    check_metrics,
    check_no_arrays,
    checked_training,
    checked_weight,
    common_form,
    form_of,
    layouts_of,
)
from fedlab.server.requirements import layers_of


@runtime_checkable
class TakesUpdates(Protocol):
    """A strategy that says which kinds of updates it takes, and how long a vector of scalars may be."""

    takes: frozenset[str]
    max_scalars: int


@runtime_checkable
class WeightsBy(Protocol):
    """A strategy that says by which metric it weights replies, as Flower's own do."""

    weighted_by_key: str


def terms_of(strategy: Strategy) -> UpdateTerms:
    """Return what updates a strategy takes: models weighted by their examples, where it says nothing."""
    *_, strategy = layers_of(strategy)
    terms = UpdateTerms()
    return UpdateTerms(
        takes=strategy.takes if isinstance(strategy, TakesUpdates) else terms.takes,
        max_scalars=strategy.max_scalars if isinstance(strategy, TakesUpdates) else terms.max_scalars,
        weighted_by=strategy.weighted_by_key if isinstance(strategy, WeightsBy) else terms.weighted_by,
    )


@dataclass(frozen=True, kw_only=True)
class _Awaited:
    """What a reply must answer: an order to train or evaluate these arrays, sent to this node.

    The `purpose` is that of the message, `train` or `evaluate`; the replies to others, empty, are not checked.
    """

    node_id: int
    purpose: str
    arrays: Mapping[str, ArrayLayout]


class VettingGrid(GridAround):
    """Hand a strategy only replies that it can average; what is wrong with others is an error in their place.

    A reply to an order to train has one record of arrays, of a kind that the strategy takes: the names, shapes and
    types that were sent (float32 answers float64, too), in .npy files of exactly that size, all values finite. One to
    an order to evaluate has no arrays. Either has one record of finite metrics. Where replies of a call differ in the
    names of their metrics or records, those of the most frequent form are taken: Flower's strategies would take none.

    The number of examples is what a reply weighs. Clients may train on some of their examples only, so anything from 1
    to what `limits` knows of a node is accepted, if the reported workload says the same.

    It stands above the grids that decode and bill: a refused reply is billed. `refuse` is told the node and the reason.
    Whatever goes wrong with a reply, it is the reply's fault: nothing that a client sends ends the run.
    """

    def __init__(
        self, grid: Grid, *, terms: UpdateTerms, limits: ExampleLimits, refuse: Callable[[int, str], None]
    ) -> None:
        super().__init__(grid)
        self._terms = terms
        self._limits = limits
        self._refuse = refuse
        self._awaited: dict[str, _Awaited] = {}
        self._forms: dict[str, Form] = {}  # that most replies had in the last call, by purpose

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Send messages, and note what the replies must be like."""
        outgoing = list(messages)
        ids = list(self._grid.push_messages(outgoing))
        self._awaited |= dict(zip(ids, _awaited(outgoing), strict=False))
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Return the replies that are there, checked."""
        replies = list(self._grid.pull_messages(message_ids))
        return self._vetted([(reply, self._awaited.pop(reply.metadata.reply_to_message_id, None)) for reply in replies])

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Send messages and return the replies, checked."""
        outgoing = list(messages)
        asked: dict[int, deque[_Awaited]] = defaultdict(deque)
        for each in _awaited(outgoing):
            asked[each.node_id].append(each)
        replies = list(self._grid.send_and_receive(outgoing, timeout=timeout))
        return self._vetted([(reply, _next(asked[reply.metadata.src_node_id])) for reply in replies])

    def _vetted(self, answers: Sequence[tuple[Message, _Awaited | None]]) -> list[Message]:
        """Check replies each by itself, then those that are left against each other."""
        outcomes = [self._outcome(reply, awaited) for reply, awaited in answers]
        forms: dict[str, list[Form]] = defaultdict(list)
        for outcome in outcomes:
            if outcome.form is not None:
                forms[outcome.purpose].append(outcome.form)
        self._forms |= {purpose: common_form(each, self._forms.get(purpose)) for purpose, each in forms.items()}
        return [self._settled(outcome) for outcome in outcomes]

    def _outcome(self, reply: Message, awaited: _Awaited | None) -> "_Outcome":
        if reply.has_error() or (awaited and not awaited.purpose):
            return _Outcome(reply=reply, awaited=awaited)
        if awaited is None:
            return _Outcome(reply=reply, awaited=None, refusal="answers no order")
        try:
            return self._checked(reply, awaited)
        except RefusedError as refusal:
            reason = str(refusal)
        except Exception as error:  # whatever a client sends must not end the run
            reason = f"cannot be read: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        return _Outcome(reply=reply, awaited=awaited, refusal=reason)

    def _checked(self, reply: Message, awaited: _Awaited) -> "_Outcome":
        """Check a reply by itself; raises `RefusedError`, or anything else on what no honest client sends."""
        content = reply.content
        check_metrics(content)
        weight = checked_weight(reply, self._terms.weighted_by, self._limits.limit(awaited.node_id, awaited.purpose))
        if awaited.purpose == MessageType.TRAIN:
            content = checked_training(content, awaited.arrays, self._terms)
        else:
            check_no_arrays(content)
        return _Outcome(reply=holding(reply, content), awaited=awaited, weight=weight, form=form_of(content))

    def _settled(self, outcome: "_Outcome") -> Message:
        """Return a reply that is accepted, or an error in its place."""
        awaited, refusal = outcome.awaited, outcome.refusal
        if outcome.form is not None and outcome.form != self._forms[outcome.purpose]:
            refusal = "has records or metrics of other names than most replies have"
        if refusal is not None:
            if awaited is not None:
                self._refuse(awaited.node_id, refusal)
            return unusable(outcome.reply, refusal)
        if awaited is not None and outcome.form is not None and self._terms.weighs_examples:
            self._limits.accepted(awaited.node_id, awaited.purpose, outcome.weight)
        return outcome.reply


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """What became of a reply that was checked by itself; without a form there was nothing to check, or a refusal."""

    reply: Message
    awaited: _Awaited | None
    refusal: str | None = None
    weight: float = 0.0
    form: Form | None = None

    @property
    def purpose(self) -> str:
        return self.awaited.purpose if self.awaited else ""


def _awaited(messages: Sequence[Message]) -> list[_Awaited]:
    """Return what the reply to each message must answer; a content that messages share is looked at once."""
    contents = {id(each.content): each.content for each in messages}
    layouts = {key: layouts_of(content) for key, content in contents.items()}
    return [
        _Awaited(node_id=each.metadata.dst_node_id, purpose=_purpose(each), arrays=layouts[id(each.content)])
        for each in messages
    ]


def _purpose(message: Message) -> str:
    """Return whether a message is about training or evaluating, empty if about neither."""
    purpose = str(message.metadata.message_type).partition(".")[0]
    return purpose if purpose in (MessageType.TRAIN, MessageType.EVALUATE) else ""


def _next(awaited: deque[_Awaited]) -> _Awaited | None:
    return awaited.popleft() if awaited else None
