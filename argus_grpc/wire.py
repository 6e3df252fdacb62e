"""How protobuf writes the fields that events have (its encoding guide, "Message Structure")."""

from collections.abc import Mapping
from enum import IntEnum

from google.protobuf.descriptor import FieldDescriptor


class WireType(IntEnum):
    """How a value is written; the lower three bits of its tag."""

    VARINT = 0
    I64 = 1
    LEN = 2


WIRE_TYPES: Mapping[int, WireType] = {
    FieldDescriptor.TYPE_INT32: WireType.VARINT,
    FieldDescriptor.TYPE_INT64: WireType.VARINT,
    FieldDescriptor.TYPE_ENUM: WireType.VARINT,
    FieldDescriptor.TYPE_SFIXED64: WireType.I64,
    FieldDescriptor.TYPE_DOUBLE: WireType.I64,
    FieldDescriptor.TYPE_STRING: WireType.LEN,
}
