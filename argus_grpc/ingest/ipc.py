"""Arrow IPC streams from anywhere, read with suspicion."""

import struct
from collections.abc import Callable, Iterator

import pyarrow as pa

from argus_grpc.errors import InvalidField

_FIELD = "arrow"
_ALLOWED = "a complete Arrow IPC stream, not damaged"

# Where Message.fbs of the Arrow format has them.
_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3
_MESSAGE_HEADER_TYPE, _MESSAGE_HEADER = 1, 2
_DICTIONARY_BATCH_DATA = 1
_RECORD_BATCH_COMPRESSION = 3


def read_batches(stream: bytes, check_schema: Callable[[pa.Schema], None]) -> Iterator[pa.RecordBatch]:
    """Yields the record batches of a stream, once its schema is checked; nothing is copied.

    What a batch's buffers hold has still to be validated. Raises InvalidField for what is not an IPC
    stream, and for compressed buffers, whose size nothing bounds.
    """
    try:
        _refuse_compression(stream)
        with pa.ipc.open_stream(stream) as reader:
            check_schema(reader.schema)
            yield from reader
    except (pa.ArrowException, OSError, UnicodeDecodeError, struct.error, IndexError) as error:
        raise InvalidField(_FIELD, f"{len(stream)} bytes: {error}", _ALLOWED) from error


def _refuse_compression(stream: bytes) -> None:
    reader = pa.ipc.MessageReader.open_stream(stream)
    while True:
        try:
            metadata = reader.read_next_message().metadata.to_pybytes()
        except StopIteration:
            return
        if _has_compressed_buffers(metadata):
            raise InvalidField(_FIELD, "compressed record batches", "buffers without compression")


def _has_compressed_buffers(metadata: bytes) -> bool:
    """Reads as much of a Message's FlatBuffer as says so: pyarrow does not tell."""
    message = _reference(metadata, 0)
    header_type = metadata[_field(metadata, message, _MESSAGE_HEADER_TYPE)]
    if header_type not in (_DICTIONARY_BATCH, _RECORD_BATCH):
        return False
    batch = _reference(metadata, _field(metadata, message, _MESSAGE_HEADER))
    if header_type == _DICTIONARY_BATCH:
        batch = _reference(metadata, _field(metadata, batch, _DICTIONARY_BATCH_DATA))
    return bool(_field(metadata, batch, _RECORD_BATCH_COMPRESSION))


def _reference(flatbuffer: bytes, at: int) -> int:
    (distance,) = struct.unpack_from("<I", flatbuffer, at)
    return at + int(distance)


def _field(flatbuffer: bytes, table: int, number: int) -> int:
    """Where a table's field is; 0 if it is not there."""
    (distance,) = struct.unpack_from("<i", flatbuffer, table)
    vtable = table - distance
    (vtable_bytes,) = struct.unpack_from("<H", flatbuffer, vtable)
    entry = 4 + 2 * number
    if entry >= vtable_bytes:
        return 0
    (offset,) = struct.unpack_from("<H", flatbuffer, vtable + entry)
    return table + int(offset) if offset else 0
