"""The schema, read off the Event message's descriptor: its only source."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import pyarrow as pa
from google.protobuf.descriptor import FieldDescriptor

from argus_grpc.errors import InvalidField
from argus_grpc.v1.event_pb2 import Event, EventType, column
from argus_grpc.v1.export_pb2 import Column as ColumnMessage
from argus_grpc.v1.export_pb2 import ColumnType

ALL_COLUMNS = "all"
MAX_SOURCE_CHARACTERS = 1_000
"""Of a source, or a beginning of one, in a request."""
EVENT_TYPE_PREFIX = "EVENT_TYPE_"

_ARROW_TYPES: Mapping["ColumnType.ValueType", pa.DataType] = {
    ColumnType.COLUMN_TYPE_STRING: pa.string(),
    ColumnType.COLUMN_TYPE_INT32: pa.int32(),
    ColumnType.COLUMN_TYPE_INT64: pa.int64(),
    ColumnType.COLUMN_TYPE_DOUBLE: pa.float64(),
    ColumnType.COLUMN_TYPE_TIMESTAMP_NS: pa.int64(),
    ColumnType.COLUMN_TYPE_EVENT_TYPE: pa.int32(),
}


@dataclass(frozen=True)
class Column:
    """One column: a field of Event that has the (column) option."""

    name: str
    json_name: str
    title: str
    unit: str
    description: str
    type: "ColumnType.ValueType"
    carried_by: tuple["EventType.ValueType", ...]
    is_default: bool
    minimum: int | None

    @property
    def arrow_type(self) -> pa.DataType:
        """The type that the store holds and hands out (codes and nanoseconds as integers)."""
        return _ARROW_TYPES[self.type]

    def to_message(self) -> ColumnMessage:
        return ColumnMessage(
            name=self.name,
            json_name=self.json_name,
            title=self.title,
            unit=self.unit,
            description=self.description,
            type=self.type,
            carried_by=self.carried_by,
            is_default=self.is_default,
        )


def _column_type(field: FieldDescriptor) -> "ColumnType.ValueType":
    if field.enum_type is not None and field.enum_type.full_name == EventType.DESCRIPTOR.full_name:
        return ColumnType.COLUMN_TYPE_EVENT_TYPE
    # The only fixed-width integer of the message is its instant, as in OTLP.
    by_field_type = {
        FieldDescriptor.TYPE_STRING: ColumnType.COLUMN_TYPE_STRING,
        FieldDescriptor.TYPE_INT32: ColumnType.COLUMN_TYPE_INT32,
        FieldDescriptor.TYPE_INT64: ColumnType.COLUMN_TYPE_INT64,
        FieldDescriptor.TYPE_DOUBLE: ColumnType.COLUMN_TYPE_DOUBLE,
        FieldDescriptor.TYPE_SFIXED64: ColumnType.COLUMN_TYPE_TIMESTAMP_NS,
    }
    return by_field_type[field.type]


def _read_columns() -> Iterable[Column]:
    for field in Event.DESCRIPTOR.fields:
        options = field.GetOptions().Extensions[column]
        yield Column(
            name=field.name,
            json_name=field.json_name,
            title=options.title,
            unit=options.unit,
            description=options.description,
            type=_column_type(field),
            carried_by=tuple(options.carried_by),
            is_default=options.is_default,
            minimum=options.minimum if options.HasField("minimum") else None,
        )


COLUMNS: tuple[Column, ...] = tuple(_read_columns())
"""Every column, in the order of the schema."""

COLUMNS_BY_NAME: Mapping[str, Column] = MappingProxyType({c.name: c for c in COLUMNS})

DEFAULT_COLUMNS: tuple[Column, ...] = tuple(c for c in COLUMNS if c.is_default)

STORED_SCHEMA: pa.Schema = pa.schema([(c.name, c.arrow_type) for c in COLUMNS])
"""Events as the store takes and gives them: event types as codes, timestamps as int64 ns."""

EVENT_TYPE_NAMES: Mapping[int, str] = MappingProxyType(
    {v.number: v.name.removeprefix(EVENT_TYPE_PREFIX) for v in EventType.DESCRIPTOR.values if v.number}
)
"""The name of each event type as files show it, by code, in code order."""

EVENT_TYPE_CODES: pa.Int32Array = pa.array(EVENT_TYPE_NAMES, pa.int32())
EVENT_TYPE_TEXTS: pa.StringArray = pa.array(EVENT_TYPE_NAMES.values(), pa.string())

EVENT_TYPES_ALLOWED = ", ".join(f"{name} ({code})" for code, name in EVENT_TYPE_NAMES.items())
"""What a refused event type is told is allowed."""


def choose_columns(names: Iterable[str]) -> tuple[Column, ...]:
    """The columns named, in that order; none named gives the default ones, "all" every one.

    Raises InvalidField for a name that is not a column or comes twice.
    """
    chosen = tuple(names)
    if not chosen:
        return DEFAULT_COLUMNS
    if chosen == (ALL_COLUMNS,):
        return COLUMNS
    for place, name in enumerate(chosen):
        if name not in COLUMNS_BY_NAME:
            allowed = f'"{ALL_COLUMNS}" alone, or any of: {", ".join(COLUMNS_BY_NAME)}'
            raise InvalidField(f"columns[{place}]", name, allowed)
        if name in chosen[:place]:
            raise InvalidField(f"columns[{place}]", name, "each column at most once")
    return tuple(COLUMNS_BY_NAME[name] for name in chosen)
