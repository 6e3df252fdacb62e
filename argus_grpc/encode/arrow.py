"""ARROW: stored events → an Arrow IPC stream with the wire's types."""

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from argus_grpc.columns import COLUMNS_BY_NAME, EVENT_TYPE_CODES, EVENT_TYPE_TEXTS, Column
from argus_grpc.v1.export_pb2 import ColumnType

# More than the stream has besides the batch: schema, event types, end.
_MAX_FRAME_BYTES = 64 * 1024


def to_wire_types(events: pa.RecordBatch, columns: Mapping[str, Column] = COLUMNS_BY_NAME) -> pa.RecordBatch:
    """The batch, of these columns, with event types as a dictionary of names, and timestamps as instants
    in UTC."""
    arrays = []
    for name, array in zip(events.schema.names, events.columns, strict=True):
        match columns[name].type:
            case ColumnType.COLUMN_TYPE_EVENT_TYPE:
                places = pc.index_in(array, EVENT_TYPE_CODES).cast(pa.int8())
                arrays.append(pa.DictionaryArray.from_arrays(places, EVENT_TYPE_TEXTS))
            case ColumnType.COLUMN_TYPE_TIMESTAMP_NS:
                arrays.append(array.view(pa.timestamp("ns", tz="UTC")))
            case _:
                arrays.append(array)
    return pa.RecordBatch.from_arrays(arrays, names=events.schema.names)


def to_arrow_stream(batch: pa.RecordBatch) -> pa.Buffer:
    """A complete Arrow IPC stream of the one batch."""
    # Room for all at once: a sink that grows would copy what it has again and again.
    room = pa.allocate_buffer(pa.ipc.get_record_batch_size(batch) + _MAX_FRAME_BYTES)
    sink = pa.FixedSizeBufferWriter(room)
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return room.slice(0, sink.tell())
