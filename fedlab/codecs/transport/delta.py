"""Array records with an encoded model: written and read by both sides.

The encoding is of the difference (delta) to arrays that both sides have: a trained model is a delta to the model that
was sent, a sent model is a delta to a reference. Codecs encode float32; arrays of other dtypes are sent outside
the frame, as they are.
"""

from collections.abc import Mapping

import numpy as np
from flwr.app import Array, ArrayRecord

from fedlab.codecs.codec import GarbledError
from fedlab.codecs.feedback import encode_with_feedback
from fedlab.codecs.frame import Layout, read_frame, write_frame
from fedlab.codecs.pipeline import Pipeline
from fedlab.codecs.transport.reference import Reference
from fedlab.common.arrays import Arrays, Shape
from fedlab.messages.npy import view_of
from fedlab.messages.pack import values_of

_FRAME = "fedlab.frame"  # the name of the array that holds the frame
_ENCODED = "float32"


def is_encoded(record: ArrayRecord) -> bool:
    """Tell whether a record contains a frame."""
    return _FRAME in record


def floats(record: ArrayRecord) -> Arrays:
    """Return the arrays that can be encoded: those of float32."""
    return {name: values_of(array) for name, array in record.items() if array.dtype == _ENCODED and name != _FRAME}


def encode_model(
    record: ArrayRecord, reference: Reference, pipeline: Pipeline, generator: np.random.Generator
) -> ArrayRecord:
    """Encode a model for clients; arrays that the reference lacks or has in another shape are deltas to zero."""
    arrays = floats(record)
    known = reference(list(arrays))
    differences = {name: array - _start(name, array.shape, known) for name, array in arrays.items()}
    return _framed(record, differences, pipeline.encode(differences, generator), known=None)


def decode_model(record: ArrayRecord, reference: Reference, pipeline: Pipeline) -> ArrayRecord:
    """Decode a model that `encode_model` encoded.

    Raises:
        GarbledError: the frame is malformed, or does not fit the pipeline.
    """
    payload, layout = _frame_in(record)
    differences = pipeline.decode(payload, _shapes(layout or {}))
    known = reference(list(differences))
    whole = {name: change + _start(name, change.shape, known) for name, change in differences.items()}
    return _unframed(record, layout or {}, whole)


def base_of(kind: str, sent: Arrays) -> Arrays:
    """Return what an update of this kind is a difference to: a model to what was sent, others to zero."""
    return sent if kind == "model" else {name: np.zeros_like(array) for name, array in sent.items()}


def encode_update(
    record: ArrayRecord,
    base: Mapping[str, np.ndarray],
    residual: Mapping[str, np.ndarray] | None,
    pipeline: Pipeline,
    generator: np.random.Generator,
) -> tuple[ArrayRecord, Arrays]:
    """Encode a trained model as a delta to the model that was sent; return the residual for the next update, too.

    Arrays that were not sent, or have another shape now, stay unencoded. If `residual` is None there is no error
    feedback, and the returned residual is empty.
    """
    update = {
        name: array - base[name]
        for name, array in floats(record).items()
        if name in base and base[name].shape == array.shape
    }
    if residual is None:
        return _framed(record, update, pipeline.encode(update, generator), known=base), {}
    fed = encode_with_feedback(update, residual, pipeline, generator)
    return _framed(record, update, fed.payload, known=base), fed.residual


def decode_update(record: ArrayRecord, base: Mapping[str, np.ndarray], pipeline: Pipeline) -> ArrayRecord:
    """Decode an update and add it to the model that was sent.

    Raises:
        GarbledError: the frame is malformed, or does not fit the pipeline or the model that was sent.
    """
    payload, found = _frame_in(record)
    layout: Layout = {name: array.shape for name, array in base.items()} if found is None else found
    shapes = _shapes(layout)
    for name, shape in shapes.items():
        if name not in base or base[name].shape != shape:
            raise GarbledError(f"no array '{name}' of shape {list(shape)} was sent")
    update = pipeline.decode(payload, shapes)
    with np.errstate(invalid="ignore"):
        trained = {name: base[name] + change for name, change in update.items()}
    return _unframed(record, layout, trained)


def encode_residual(residual: Arrays, pipeline: Pipeline, generator: np.random.Generator) -> Array:
    """Encode a residual for the client's state."""
    layout = {name: array.shape for name, array in residual.items()}
    return Array(write_frame(pipeline.encode(residual, generator), layout))


def decode_residual(array: Array, pipeline: Pipeline) -> Arrays:
    """Decode a residual of the client's state."""
    payload, layout = read_frame(values_of(array))
    return pipeline.decode(payload, _shapes(layout or {}))


def _framed(
    record: ArrayRecord, encoded: Mapping[str, np.ndarray], payload: bytes, known: Mapping[str, np.ndarray] | None
) -> ArrayRecord:
    """Return a record of the frame, with a layout unless it is the known one, and the arrays outside the frame."""
    layout = {name: encoded[name].shape if name in encoded else None for name in record}
    as_known = known is not None and list(layout.items()) == [(name, array.shape) for name, array in known.items()]
    unencoded = {name: array for name, array in record.items() if name not in encoded}
    return ArrayRecord({_FRAME: Array(write_frame(payload, None if as_known else layout)), **unencoded})


def _frame_in(record: ArrayRecord) -> tuple[memoryview, Layout | None]:
    try:
        array = record[_FRAME]
        frame = view_of(array, np.dtype(np.uint8), tuple(array.shape))
    except Exception as error:
        raise GarbledError("the frame is not an array") from error
    return read_frame(frame)


def _unframed(record: ArrayRecord, layout: Layout, decoded: Mapping[str, np.ndarray]) -> ArrayRecord:
    missing = [name for name, shape in layout.items() if shape is None and name not in record]
    if missing:
        raise GarbledError(f"array '{missing[0]}' is missing")
    return ArrayRecord(
        {name: record[name] if shape is None else Array(np.asarray(decoded[name])) for name, shape in layout.items()}
    )


def _shapes(layout: Layout) -> dict[str, Shape]:
    return {name: shape for name, shape in layout.items() if shape is not None}


def _start(name: str, shape: Shape, reference: Mapping[str, np.ndarray]) -> np.ndarray | np.float32:
    found = reference.get(name)
    return np.float32(0) if found is None or found.shape != shape else found
