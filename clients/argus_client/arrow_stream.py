"""The Arrow IPC stream of a batch, from a server that may not be what it should."""

import struct

import pyarrow as pa

# Where Message.fbs of the Arrow format has them.
_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3
_MESSAGE_HEADER_TYPE, _MESSAGE_HEADER = 1, 2
_DICTIONARY_BATCH_DATA = 1
_RECORD_BATCH_COMPRESSION = 3

_MAX_DICTIONARY_TEXT_BYTES = 1_024


def read_arrow_stream(stream: bytes) -> list[pa.RecordBatch]:
    """The record batches, checked so that they can be relied on: every value is there, text is UTF-8.

    They are no larger than the stream: compressed buffers are refused, and texts in a dictionary, which
    many rows can say, are those of event types. Raises ValueError, saying what is wrong.
    """
    try:
        _refuse_compression(stream)
        with pa.ipc.open_stream(stream) as reader:
            batches = list(reader)
        for batch in batches:
            batch.validate(full=True)
    except (pa.ArrowException, OSError, UnicodeDecodeError, struct.error, IndexError) as error:
        raise ValueError(f"is not an Arrow stream: {error}") from error
    for batch in batches:
        for column in batch.columns:
            if pa.types.is_dictionary(column.type) and column.dictionary.nbytes > _MAX_DICTIONARY_TEXT_BYTES:
                raise ValueError("has a dictionary of more than the event types")
    return batches


def _refuse_compression(stream: bytes) -> None:
    reader = pa.ipc.MessageReader.open_stream(stream)
    while True:
        try:
            metadata = reader.read_next_message().metadata.to_pybytes()
        except StopIteration:
            return
        if _has_compressed_buffers(metadata):
            raise ValueError("has compressed buffers")


# As the server has it of what comes to it; a client imports nothing of the server.


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
