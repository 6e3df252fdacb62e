"""Event messages built one by one, the plain way: the oracle for the row encoding, and its peer."""

import pyarrow as pa

from argus_grpc.v1.event_pb2 import Event, Events


def plain_messages(batch: pa.RecordBatch) -> Events:
    """The batch, as the store gives it, as Event messages, NULL as unset."""
    rows = Events(events=(Event() for _ in range(batch.num_rows)))
    for name, array in zip(batch.schema.names, batch.columns, strict=True):
        for event, value in zip(rows.events, array.to_pylist(), strict=True):
            if value is not None:
                setattr(event, name, value)
    return rows
