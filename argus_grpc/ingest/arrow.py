"""Events in an Arrow IPC stream → columns as the store takes them."""

from collections.abc import Iterator
from typing import NoReturn

import pyarrow as pa
import pyarrow.compute as pc

from argus_grpc.batches import joined
from argus_grpc.columns import COLUMNS_BY_NAME, EVENT_TYPE_CODES, EVENT_TYPE_TEXTS, EVENT_TYPES_ALLOWED
from argus_grpc.errors import InvalidField
from argus_grpc.ingest.checks import MAX_EVENT_BYTES, SEQUENCE_ALLOWED, too_large
from argus_grpc.ingest.ipc import read_batches
from argus_grpc.ingest.texts import NotUtf8, is_text, to_texts
from argus_grpc.v1.event_pb2 import Event
from argus_grpc.v1.export_pb2 import ColumnType

MAX_TEXT_BYTES = 64 * 1024 * 1024
"""The most that all texts of a request may have, written out."""

# An event's other fields take no more than this: 31 of a tag, and a number or a length.
_EVENT_BYTES_BESIDE_TEXT = 31 * 12

_NS_IN = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_INSTANT = pa.timestamp("ns", tz="UTC")


def path(place: int, column: str) -> str:
    return f"arrow{'.' if column else ''}{column}[{place}]"


def to_batch(stream: bytes) -> pa.RecordBatch:
    """The events of the stream's record batches as stored columns, those that are set in any event.

    Raises InvalidField for a stream that is damaged, and for columns, types and values that cannot be
    stored, naming the first row that has one.
    """
    batches: list[pa.RecordBatch] = []
    texts = _Texts()
    place = 0
    for given in read_batches(stream, _check_schema):
        batch = _Converter(place, texts).convert(given)
        _check_sizes(batch, place)
        if given.num_rows:
            batches.append(batch)
        place += given.num_rows
    if not place:
        raise InvalidField("arrow", "a stream without rows", "at least one event")
    return joined(batches)


def _check_schema(schema: pa.Schema) -> None:
    for place, name in enumerate(schema.names):
        # A name of any length would not fit in an answer.
        field = f"arrow.{name[:64]}"
        if name not in COLUMNS_BY_NAME:
            raise InvalidField(field, name, f"columns of the schema: {', '.join(COLUMNS_BY_NAME)}")
        if name in schema.names[:place]:
            raise InvalidField(field, name, "each column at most once")
        allowed = _allowed_types(COLUMNS_BY_NAME[name].type)
        type_ = schema.field(place).type
        if not (pa.types.is_null(type_) or _is_allowed(type_, COLUMNS_BY_NAME[name].type)):
            raise InvalidField(field, f"the type {type_}", allowed)
    if "timestamp" not in schema.names:
        raise InvalidField(path(0, "timestamp"), None, "a value")


def _is_allowed(type_: pa.DataType, column_type: "ColumnType.ValueType") -> bool:
    match column_type:
        case ColumnType.COLUMN_TYPE_STRING:
            return is_text(type_)
        case ColumnType.COLUMN_TYPE_EVENT_TYPE:
            return is_text(type_) or pa.types.is_integer(type_)
        case ColumnType.COLUMN_TYPE_DOUBLE:
            return bool(pa.types.is_floating(type_))
        case ColumnType.COLUMN_TYPE_TIMESTAMP_NS if pa.types.is_timestamp(type_):
            return type_.tz is not None
        case _:
            return bool(pa.types.is_integer(type_))


def _allowed_types(column_type: "ColumnType.ValueType") -> str:
    match column_type:
        case ColumnType.COLUMN_TYPE_STRING:
            return "strings, plain or in a dictionary"
        case ColumnType.COLUMN_TYPE_EVENT_TYPE:
            return "names as strings, plain or in a dictionary, or codes as integers"
        case ColumnType.COLUMN_TYPE_DOUBLE:
            return "floating-point numbers"
        case ColumnType.COLUMN_TYPE_TIMESTAMP_NS:
            return "timestamps with a time zone, or nanoseconds since the Unix epoch as integers"
        case _:
            return "integers"


class _Texts:
    """Counts the bytes of a request's texts."""

    def __init__(self) -> None:
        self.size_bytes = 0

    def take(self, size_bytes: int) -> None:
        self.size_bytes += size_bytes
        if self.size_bytes > MAX_TEXT_BYTES:
            told = f"{self.size_bytes} bytes or more of text, written out"
            raise InvalidField("arrow", told, f"at most {MAX_TEXT_BYTES} bytes")


class _Converter:
    """Converts one record batch. `place` is that of its first row in the request."""

    def __init__(self, place: int, texts: _Texts) -> None:
        self._place = place
        self._texts = texts

    def convert(self, given: pa.RecordBatch) -> pa.RecordBatch:
        columns = dict(self._columns(given))
        if given.num_rows and "timestamp" not in columns:
            # Columns that are unset are left out, and a batch without any column has no rows: these events
            # would be lost among those of other batches.
            self._refuse("timestamp", 0, None, "a value")
        return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))

    def _columns(self, given: pa.RecordBatch) -> Iterator[tuple[str, pa.Array]]:
        for name, array in zip(given.schema.names, given.columns, strict=True):
            try:
                converted = None if pa.types.is_null(array.type) else self._column(name, array)
            except NotUtf8 as error:
                self._refuse(name, error.place, error.value, "UTF-8")
            except pa.ArrowException as error:
                raise InvalidField(
                    f"arrow.{name}", f"damaged: {error}", "data that fit their type"
                ) from error
            if converted is None or converted.null_count == len(converted):
                continue
            if name == "sequence":
                row = pc.index(converted.is_valid(), True).as_py()
                self._refuse(name, row, converted[row].as_py(), SEQUENCE_ALLOWED)
            yield name, converted

    def _column(self, name: str, array: pa.Array) -> pa.Array:
        column = COLUMNS_BY_NAME[name]
        if is_text(array.type):
            texts = to_texts(array, self._texts.take)
            is_type = column.type == ColumnType.COLUMN_TYPE_EVENT_TYPE
            return self._event_types(name, texts) if is_type else texts
        array.validate(full=True)
        if pa.types.is_timestamp(array.type):
            return self._instants(name, array)
        if pa.types.is_integer(array.type):
            is_type = column.type == ColumnType.COLUMN_TYPE_EVENT_TYPE
            return self._integers(name, array, EVENT_TYPES_ALLOWED if is_type else str(column.arrow_type))
        return array.cast(column.arrow_type)

    def _event_types(self, name: str, names: pa.StringArray) -> pa.Int32Array:
        places = pc.index_in(names, EVENT_TYPE_TEXTS)
        if places.null_count > names.null_count:
            row = pc.index(pc.and_(places.is_null(), names.is_valid()), True).as_py()
            self._refuse(name, row, names[row].as_py(), EVENT_TYPES_ALLOWED)
        return EVENT_TYPE_CODES.take(places)

    def _instants(self, name: str, array: pa.TimestampArray) -> pa.Int64Array:
        try:
            return array.cast(_INSTANT).view(pa.int64())
        except pa.ArrowInvalid:
            ns_in = _NS_IN[array.type.unit]
            allowed = "nanoseconds since the Unix epoch that 64 bits hold: the years 1677 to 2262"
            most = (2**63 - 1) // ns_in
            self._refuse_outside(name, array.view(pa.int64()), range(-most, most + 1), allowed)

    def _integers(self, name: str, array: pa.Array, allowed: str) -> pa.Array:
        type_ = COLUMNS_BY_NAME[name].arrow_type
        try:
            return array.cast(type_)
        except pa.ArrowInvalid:
            beyond = 2 ** (type_.bit_width - 1)
            self._refuse_outside(name, array, range(-beyond, beyond), allowed)

    def _refuse_outside(self, name: str, numbers: pa.Array, fitting: range, allowed: str) -> NoReturn:
        """Refuses the first number that is not in the range."""
        for row, number in enumerate(numbers.to_pylist()):
            if number is not None and number not in fitting:
                self._refuse(name, row, number, allowed)
        raise AssertionError(f"pyarrow did not cast {name}, and all its values fit")

    def _refuse(self, name: str, row: int, value: object, allowed: str) -> NoReturn:
        raise InvalidField(path(self._place + row, name), value, allowed)


def _check_sizes(batch: pa.RecordBatch, place: int) -> None:
    """Raises InvalidField for an event that would be too large as a message."""
    texts = [array for array in batch.columns if array.type == pa.string()]
    lengths = [pc.fill_null(pc.binary_length(array), 0).cast(pa.int64()) for array in texts]
    least_text_bytes = MAX_EVENT_BYTES - _EVENT_BYTES_BESIDE_TEXT
    if sum(pc.sum(length).as_py() or 0 for length in lengths) <= least_text_bytes:
        return
    total = lengths[0]
    for length in lengths[1:]:
        total = pc.add(total, length)
    for row in pc.indices_nonzero(pc.greater(total, least_text_bytes)).to_pylist():
        (values,) = batch.slice(row, 1).to_pylist()
        event = Event(**{name: value for name, value in values.items() if value is not None})
        if event.ByteSize() > MAX_EVENT_BYTES:
            raise too_large(place + row, event.ByteSize(), path)
