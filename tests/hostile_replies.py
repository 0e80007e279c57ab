"""Replies that a broken or dishonest client can send, as hypothesis strategies of changes to a sound reply.

A change is a function from a train reply (one record of arrays, one of metrics) to another one; the reply it is given
stays as it was. Its `kind` says what it does, for messages and for tests that hold for some kinds only.
"""

import io
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from hypothesis import strategies as st

from fedlab.messages.flower_private import copied, holding
from fedlab.messages.pack import NUM_EXAMPLES, records_of

NPY = "numpy.ndarray"
PLACES = st.integers(0, 2**16)  # which array of a record, or which value of an array, modulo how many there are


@dataclass(frozen=True)
class Change:
    """One way to spoil a reply; `details` are for the report of a failing test."""

    kind: str
    apply: Callable[[RecordDict], None] = field(repr=False)
    details: object = ""

    def __call__(self, reply: Message) -> Message:
        content = copied(reply.content)
        self.apply(content)
        return holding(reply, content)


def npy(descr: object, shape: object, body: bytes = b"", *, fortran: bool = False, version: int = 1) -> bytes:
    """Return a .npy file whose header says this, whether it is so or not."""
    return npy_of_header(f"{{'descr': {descr!r}, 'fortran_order': {fortran}, 'shape': {shape!r}, }}", body, version)


def npy_of_header(header: str, body: bytes = b"", version: int = 1) -> bytes:
    """Return a .npy file with this text for its header."""
    text = header.encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    length = len(text).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + body


def npz() -> bytes:
    """Return an archive of arrays, which NumPy opens where an array is expected."""
    archive = io.BytesIO()
    np.savez(archive, x=np.zeros(3, np.float32))
    return archive.getvalue()


def zipped_zeros() -> bytes:
    """Return an archive whose only file is much longer unpacked."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x.npy", bytes(2**20))
    return archive.getvalue()


def body_of(array: Array) -> bytes:
    """Return the values of a sound array, as bytes."""
    return array.numpy().tobytes()


def to_array(kind: str, change: Callable[[Array], Array], details: object = "") -> st.SearchStrategy[Change]:
    """Change one array of a reply."""

    def at(place: int) -> Change:
        def apply(content: RecordDict) -> None:
            (record,) = records_of(content, ArrayRecord).values()
            name = sorted(record)[place % len(record)]
            record[name] = change(record[name])

        return Change(kind, apply, details)

    return PLACES.map(at)


def to_values(kind: str, change: Callable[[np.ndarray], np.ndarray]) -> st.SearchStrategy[Change]:
    """Put other values in the place of an array's own, packed as Flower does."""
    return to_array(kind, lambda array: Array(change(array.numpy())))


def to_data(kind: str, data: Callable[[Array], bytes], details: object = "") -> st.SearchStrategy[Change]:
    """Replace an array's bytes; dtype and shape are said to be what they were."""
    return to_array(kind, lambda array: Array(array.dtype, tuple(array.shape), array.stype, data(array)), details)


def to_content(kind: str, apply: Callable[[RecordDict], None], details: object = "") -> st.SearchStrategy[Change]:
    """Change the records of a reply."""
    return st.just(Change(kind, apply, details))


def key_of(content: RecordDict, kind: type) -> str:
    """Return the key of the only record of a kind."""
    (key,) = records_of(content, kind)
    return key


def replace(content: RecordDict, kind: type, record: ConfigRecord) -> None:
    """Put a record of another kind in the place of the only one of this kind."""
    key = key_of(content, kind)
    del content[key]  # or Flower warns
    content[key] = record


# --- arrays -----------------------------------------------------------------------------------------------------------


@st.composite
def huge_headers(draw: st.DrawFn) -> Change:
    """A header that claims terabytes; what Flower is told is the true shape, or the same lie."""
    shape = draw(st.sampled_from([(10**13,), (2**40, 8), (2**62, 4), (2**31,) * 3, (10**30,), (-1,), (2**63,)]))
    fortran, version, told = draw(st.booleans()), draw(st.sampled_from([1, 2, 3])), draw(st.booleans())

    def change(array: Array) -> Array:
        data = npy("<f4", shape, body_of(array), fortran=fortran, version=version)
        return Array(array.dtype, shape if told else tuple(array.shape), array.stype, data)

    return draw(to_array("huge shape", change, (shape, fortran, version, told)))


@st.composite
def nonsense_headers(draw: st.DrawFn) -> Change:
    """A header that is no dictionary, or one that takes a parser long."""
    header = draw(
        st.sampled_from(
            [
                "",
                "{}",
                "[" * 5000,
                "-" * 5000 + "1",
                "{'descr': '<f4'}",
                "{'descr': '<f4', 'fortran_order': 7, 'shape': (2,)}",
                "{'descr': '<f4', 'fortran_order': False, 'shape': 2}",
                "{'descr': '<f4', 'fortran_order': False, 'shape': ('2',)}",
                "{'descr': 'nonsense', 'fortran_order': False, 'shape': (2,)}",
                "{'descr': [('a', '<f4'), ('a', '<f4')], 'fortran_order': False, 'shape': (2,)}",
                "{'descr': ('<f4', (10**9,)), 'fortran_order': False, 'shape': (2,)}",
                "{'descr': '<f4', 'fortran_order': True, 'shape': (2,), 'more': 1}",
            ]
        )
    )
    version = draw(st.sampled_from([1, 2, 3, 9, 255]))
    return draw(to_data("nonsense header", lambda array: npy_of_header(header, b"", version), (header[:60], version)))


@st.composite
def other_bytes(draw: st.DrawFn) -> Change:
    """Bytes that are no .npy file, of which NumPy unpacks some."""
    data = draw(
        st.sampled_from([b"", b"PK\x03\x04", b"PK\x05\x06" + bytes(18), b"\x93NUMPY", b"\x93NUMPY\x01\x00\xff\xff"])
        | st.sampled_from([npz(), zipped_zeros(), pickle.dumps([1.0, 2.0])])
        | st.binary(max_size=200)
    )
    return draw(to_data("no array", lambda array: data, data[:40]))


@st.composite
def wrong_lengths(draw: st.DrawFn) -> Change:
    """An array with some of its bytes cut off, or others behind them."""
    cut, more = draw(PLACES), draw(st.none() | st.binary(min_size=1, max_size=64))
    kind = "truncated" if more is None else "trailing bytes"
    return draw(to_data(kind, lambda array: array.data[: cut % len(array.data)] if more is None else array.data + more))


@st.composite
def foreign_types(draw: st.DrawFn) -> Change:
    """Values that are no numbers, or none a model can have; in the header or in what Flower is told, or both."""
    descr = draw(st.sampled_from(["<U1", "|S4", "|b1", "<M8[s]", "<m8[ns]", "<c8", "<c16", "|V4", "|O"]))
    in_header, told = draw(st.sampled_from([(True, True), (True, False), (False, True)]))

    def change(array: Array) -> Array:
        said = str(np.dtype(descr)) if told else array.dtype
        if not in_header:
            return Array(said, tuple(array.shape), array.stype, array.data)
        size = array.numpy().size * np.dtype(descr).itemsize
        return Array(said, tuple(array.shape), array.stype, npy(descr, tuple(array.shape), bytes(size)))

    return draw(to_array("foreign type", change, (descr, in_header, told)))


@st.composite
def structured(draw: st.DrawFn) -> Change:
    """Records with fields, which compare and add in ways of their own."""
    dtype = np.dtype(draw(st.sampled_from([[("a", "<f4")], [("a", "<f4"), ("b", "<i4")]])))
    return draw(to_values("foreign type", lambda values: np.zeros(values.shape, dtype)))


def pickled_objects() -> st.SearchStrategy[Change]:
    """Python objects, which could run code when they are unpacked."""

    def data(array: Array) -> bytes:
        file = io.BytesIO()
        np.save(file, np.full(array.numpy().shape, {"a": 1}, object), allow_pickle=True)
        return file.getvalue()

    return to_array("pickled objects", lambda array: Array("object", tuple(array.shape), NPY, data(array)))


@st.composite
def other_shapes(draw: st.DrawFn) -> Change:
    """A sound array of another shape."""
    reshape = draw(
        st.sampled_from(
            [
                lambda values: values[None],
                lambda values: np.concatenate([values, values]),
                lambda values: values[:-1],
                lambda values: np.array(1.0, np.float32),
                lambda values: np.zeros((0, *values.shape[1:]), np.float32),
            ]
        )
    )
    return draw(to_values("other shape", reshape))


@st.composite
def untold_shapes(draw: st.DrawFn) -> Change:
    """A sound array, of which Flower is told another shape."""
    shape = draw(st.sampled_from([(), (-1,), (0,), (1, -1), (10**12,), (2**70,)]))
    return draw(to_array("shape told wrongly", lambda array: Array(array.dtype, shape, array.stype, array.data), shape))


@st.composite
def not_finite(draw: st.DrawFn) -> Change:
    """One value that spoils an average."""
    value, place = draw(st.sampled_from([np.nan, np.inf, -np.inf])), draw(PLACES)

    def change(values: np.ndarray) -> np.ndarray:
        spoiled = values.copy()
        spoiled.flat[place % spoiled.size] = value
        return spoiled

    return draw(to_values("not finite", change))


@st.composite
def too_large(draw: st.DrawFn) -> Change:
    """A value that double precision can say and single precision cannot."""
    value = draw(st.sampled_from([1e300, -1e300, 3.5e38]))
    return draw(to_values("not finite", lambda values: np.full(values.shape, value, np.float64)))


@st.composite
def other_serializations(draw: st.DrawFn) -> Change:
    """Bytes said to be packed in another way."""
    stype = draw(st.sampled_from(["", "torch.Tensor", "pickle", "numpy.ndarray ", "\x00"]))
    return draw(to_array("other stype", lambda array: Array(array.dtype, tuple(array.shape), stype, array.data), stype))


# --- records ----------------------------------------------------------------------------------------------------------


def _without_array(content: RecordDict) -> None:
    record = content[key_of(content, ArrayRecord)]
    del record[min(record)]


def _renamed_array(content: RecordDict) -> None:
    record = content[key_of(content, ArrayRecord)]
    record["renamed"] = record.pop(min(record))


def _another_array(content: RecordDict) -> None:
    content[key_of(content, ArrayRecord)]["another"] = Array(np.zeros(3, np.float32))


def _without_arrays(content: RecordDict) -> None:
    del content[key_of(content, ArrayRecord)]


def _empty_arrays(content: RecordDict) -> None:
    content[key_of(content, ArrayRecord)] = ArrayRecord()


def _without_metrics(content: RecordDict) -> None:
    del content[key_of(content, MetricRecord)]


def _empty(content: RecordDict) -> None:
    for key in list(content):
        del content[key]


def _second_arrays(content: RecordDict) -> None:
    content["second"] = content[key_of(content, ArrayRecord)].copy()


def _second_metrics(content: RecordDict) -> None:
    content["second"] = MetricRecord({NUM_EXAMPLES: 10**15})


def _arrays_as_config(content: RecordDict) -> None:
    replace(content, ArrayRecord, ConfigRecord({"x": b"bytes"}))


def other_records() -> st.SearchStrategy[Change]:
    """Records and arrays that are missing, renamed, of another kind or one too many."""
    kinds = {
        "an array is missing": _without_array,
        "an array is renamed": _renamed_array,
        "an array too many": _another_array,
        "no arrays": _without_arrays,
        "empty arrays": _empty_arrays,
        "no metrics": _without_metrics,
        "empty reply": _empty,
        "two records of arrays": _second_arrays,
        "two records of metrics": _second_metrics,
        "arrays of another kind": _arrays_as_config,
    }
    return st.one_of(*(to_content(kind, apply) for kind, apply in kinds.items()))


@st.composite
def false_counts(draw: st.DrawFn) -> Change:
    """A number of examples that is no number, none above 0, or more than there can be."""
    value = draw(
        st.sampled_from([0, -1, -(10**15), 0.0, -0.0, float("nan"), float("inf"), float("-inf"), [14], [], [2.0, 3.0]])
        | st.sampled_from([10**15, 2**62, 1e15, 1e300])
    )
    huge = isinstance(value, int | float) and 1e15 <= value < float("inf")

    def apply(content: RecordDict) -> None:
        content[key_of(content, MetricRecord)][NUM_EXAMPLES] = value

    return draw(to_content("too many examples" if huge else "no number of examples", apply, value))


@st.composite
def counts_of_other_types(draw: st.DrawFn) -> Change:
    """A number of examples of a type that only a record of settings can hold; Flower's metrics refuse it."""
    value = draw(st.sampled_from([True, False, "14", "", b"\x0e"]))

    def apply(content: RecordDict) -> None:
        replace(content, MetricRecord, ConfigRecord({NUM_EXAMPLES: value}))

    return draw(to_content("no number of examples", apply, value))


def _without_count(content: RecordDict) -> None:
    del content[key_of(content, MetricRecord)][NUM_EXAMPLES]


def hostile() -> st.SearchStrategy[Change]:
    """Changes after which a reply must be refused: it must neither end the run nor enter an average."""
    return st.one_of(
        huge_headers(),
        nonsense_headers(),
        other_bytes(),
        wrong_lengths(),
        foreign_types(),
        structured(),
        pickled_objects(),
        other_shapes(),
        untold_shapes(),
        not_finite(),
        too_large(),
        other_serializations(),
        other_records(),
        false_counts(),
        counts_of_other_types(),
        to_content("no number of examples", _without_count),
    )


# --- unusual ----------------------------------------------------------------------------------------------------------


@st.composite
def damaged_headers(draw: st.DrawFn) -> Change:
    """An array with one byte of its header changed; some of these bytes do not matter."""
    place, value = draw(st.integers(0, 127)), draw(st.integers(0, 255))

    def data(array: Array) -> bytes:
        spoiled = bytearray(array.data)
        spoiled[place % (len(spoiled) - len(body_of(array)))] = value
        return bytes(spoiled)

    return draw(to_data("damaged header", data, (place, value)))


@st.composite
def other_layouts(draw: st.DrawFn) -> Change:
    """The same numbers in Fortran's order, in another precision, or in the other order of bytes."""
    layout = draw(
        st.sampled_from(
            [np.asfortranarray, lambda values: values.astype(">f4"), lambda values: values.astype("<f2")]
            + [lambda values, kind=kind: values.astype(kind) for kind in ("<f8", "<i1", "<i4", "<u8")]
        )
    )
    return draw(to_values("other layout", layout))


@st.composite
def other_metrics(draw: st.DrawFn) -> Change:
    """Metrics that a strategy may not know."""
    name = draw(st.sampled_from(["train-loss", "more", ""]))
    value = draw(st.sampled_from([float("nan"), float("inf"), 2**62, [1.0], []]))

    def apply(content: RecordDict) -> None:
        content[key_of(content, MetricRecord)][name] = value

    return draw(to_content("other metrics", apply, (name, value)))


def _renamed_records(content: RecordDict) -> None:
    for kind in (ArrayRecord, MetricRecord):
        key = key_of(content, kind)
        content[f"my-{key}"] = content.pop(key)


def _more_settings(content: RecordDict) -> None:
    content["more"] = ConfigRecord({"text": "x" * 1000, "numbers": [1, 2, 3]})


def _half_examples(content: RecordDict) -> None:
    content[key_of(content, MetricRecord)][NUM_EXAMPLES] = 0.5


def unusual() -> st.SearchStrategy[Change]:
    """Changes after which a reply may be refused or averaged, but must not end the run."""
    return st.one_of(
        damaged_headers(),
        other_layouts(),
        other_metrics(),
        to_content("renamed records", _renamed_records),
        to_content("more settings", _more_settings),
        to_content("half an example", _half_examples),
    )
