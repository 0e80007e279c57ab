"""What a reply must be before a strategy sees it; whatever it is instead is refused with one line."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict

from fedlab.common.arrays import Shape
from fedlab.messages.npy import CheckedArray, GarbledArrayError, view_of
from fedlab.messages.pack import NUM_EXAMPLES, records_of
from fedlab.messages.replies import read_workload
from fedlab.messages.updates import KINDS, MODELS_ONLY, kind_of

ArrayLayout = Mapping[str, tuple[np.dtype, Shape]]  # type and shape of each array, in the order they were sent
Form = tuple[object, ...]
_SINGLE, _DOUBLE = np.dtype(np.float32), np.dtype(np.float64)


class RefusedError(Exception):
    """A reply that cannot be used, and why."""


@dataclass(frozen=True, kw_only=True)
class UpdateTerms:
    """What a strategy takes: kinds of updates, a largest number of scalars, and the metric that weights replies."""

    takes: frozenset[str] = MODELS_ONLY
    max_scalars: int = 0
    weighted_by: str = NUM_EXAMPLES

    @property
    def weighs_examples(self) -> bool:
        """Whether replies are weighted by what they say of their examples."""
        return self.weighted_by == NUM_EXAMPLES


def layouts_of(content: RecordDict) -> dict[str, ArrayLayout]:
    """Return the arrays of an order by record, without unpacking them."""
    return {
        key: {name: (np.dtype(array.dtype), tuple(array.shape)) for name, array in record.items()}
        for key, record in records_of(content, ArrayRecord).items()
    }


def checked_training(content: RecordDict, sent: Mapping[str, ArrayLayout], terms: UpdateTerms) -> RecordDict:
    """Return the content of a reply to an order to train, with views of its arrays in the order they were sent.

    Raises:
        RefusedError: it is not an update of a kind that is taken.
    """
    records = records_of(content, ArrayRecord)
    if len(records) != 1:
        raise RefusedError(f"has {len(records)} records of arrays, expected one")
    kind = kind_of(content)
    if kind not in KINDS or kind not in terms.takes:
        raise RefusedError(f"is of the kind {short(kind)}, but the strategy takes {', '.join(sorted(terms.takes))}")
    ((key, record),) = records.items()
    checked = _scalars(record, terms.max_scalars) if kind == "scalars" else _arrays(record, _layout(key, sent))
    return RecordDict({**content, key: checked})


def check_no_arrays(content: RecordDict) -> None:
    """Raise `RefusedError` if the reply to an order to evaluate brings arrays."""
    if count := len(records_of(content, ArrayRecord)):
        raise RefusedError(f"has {count} records of arrays, expected none")


def check_metrics(content: RecordDict) -> None:
    """Raise `RefusedError` unless a reply has one record of metrics, all of them finite numbers."""
    records = records_of(content, MetricRecord)
    if len(records) != 1:
        raise RefusedError(f"has {len(records)} records of metrics, expected one")
    for name, value in next(iter(records.values())).items():
        if not all(_is_finite(each) for each in (value if isinstance(value, list) else [value])):
            raise RefusedError(f"the metric {short(name)} is {short(value)}, expected finite numbers")


def checked_weight(reply: Message, weighted_by: str, limit: int | None) -> float:
    """Return what a reply says it weighs in an average.

    A number of examples is a whole number from 1 to `limit` (None: not known), and what the workload says, if that says
    any. Metrics of other names are any number above 0.

    Raises:
        RefusedError: it says something else, or nothing.
    """
    value = next(iter(records_of(reply.content, MetricRecord).values())).get(weighted_by)
    if value is None or isinstance(value, bool | list) or not value > 0:
        said = "missing" if value is None else short(value)
        raise RefusedError(f"{weighted_by} is {said}, expected a number above 0")
    if weighted_by != NUM_EXAMPLES:
        return value
    if value != int(value):
        raise RefusedError(f"{NUM_EXAMPLES} is {short(value)}, expected a whole number")
    if limit is not None and value > limit:
        raise RefusedError(f"{NUM_EXAMPLES} is {short(value)}, but the client has {limit}")
    workload = read_workload(reply)
    if workload is not None and workload.num_examples != value:
        raise RefusedError(f"{NUM_EXAMPLES} is {short(value)}, but the workload says {short(workload.num_examples)}")
    return value


def form_of(content: RecordDict) -> Form:
    """Return what replies that are averaged must have in common: the keys of their records and of their metrics.

    Flower's strategies aggregate nothing at all where one reply has another form than the first.
    """
    ((key, metrics),) = records_of(content, MetricRecord).items()
    lengths = {name: len(value) if isinstance(value, list) else None for name, value in metrics.items()}
    return (tuple(records_of(content, ArrayRecord)), key, tuple(sorted(lengths.items(), key=lambda item: item[0])))


def common_form(forms: Sequence[Form], before: Form | None) -> Form:
    """Return the form that most replies have; where several are as frequent the one from before, else the first."""
    return max(forms, key=lambda form: (forms.count(form), form == before))


def short(value: object) -> str:
    """Return a client's value for a message: on one line, and not long."""
    text = repr(value) if not isinstance(value, int) or value.bit_length() < 200 else "an endless number"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _layout(key: str, sent: Mapping[str, ArrayLayout]) -> ArrayLayout:
    """Return the arrays that were sent in the record of this key, or in the only one."""
    found = sent.get(key) or (next(iter(sent.values())) if len(sent) == 1 else None)
    if found is None:
        raise RefusedError(f"its arrays are in the record {short(key)}, but {sorted(sent)} were sent")
    return found


def _arrays(record: ArrayRecord, layout: ArrayLayout) -> ArrayRecord:
    if record.keys() != layout.keys():
        missing, extra = sorted(layout.keys() - record.keys()), sorted(record.keys() - layout.keys())
        lists = f"lacks {short(missing[:3])}, has {short(extra[:3])} besides"
        raise RefusedError(f"has other arrays than were sent: {lists}")
    checked = ArrayRecord()
    for name, (dtype, shape) in layout.items():
        array = record[name]
        # Clients that compute in single precision answer so to orders in double precision, too.
        expected = _SINGLE if dtype == _DOUBLE and array.dtype == _SINGLE.name else dtype
        checked[name] = _checked(name, array, expected, shape)
    return checked


def _scalars(record: ArrayRecord, most: int) -> ArrayRecord:
    if len(record) != 1:
        raise RefusedError(f"has {len(record)} arrays of scalars, expected one")
    ((name, array),) = record.items()
    shape = tuple(array.shape)
    if len(shape) != 1 or not 0 < shape[0] <= most:
        raise RefusedError(f"has scalars of the shape {short(shape)}, expected one vector of 1 to {most}")
    checked = ArrayRecord()
    checked[name] = _checked(short(name), array, _DOUBLE if array.dtype == _DOUBLE.name else _SINGLE, shape)
    return checked


def _checked(name: str, array: Array, dtype: np.dtype, shape: Shape) -> CheckedArray:
    try:
        values = view_of(array, dtype, shape)
    except GarbledArrayError as error:
        raise RefusedError(f"{name} {error}") from None
    if not _all_finite(values):
        raise RefusedError(f"{name} has values that are not finite")
    return CheckedArray(array, values)


def _all_finite(values: np.ndarray) -> bool:
    """Tell whether all values are finite; for numbers that are always, without looking."""
    if values.dtype.kind not in "fc":
        return True
    # A sum of squares is finite only if all values are, and takes less than half the time of looking at each.
    flat = values.ravel(order="K")
    with np.errstate(all="ignore"):
        return bool(np.isfinite(np.dot(flat, flat))) or bool(np.isfinite(flat).all())


def _is_finite(value: object) -> bool:
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
