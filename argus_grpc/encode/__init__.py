"""Stored events as an Arrow batch → the bytes of a message."""

from argus_grpc.encode.arrow import to_arrow_stream, to_wire_types
from argus_grpc.encode.batch import Encoded, encode_batch, encode_groups
from argus_grpc.encode.rows import to_row_messages

__all__ = ["Encoded", "encode_batch", "encode_groups", "to_arrow_stream", "to_row_messages", "to_wire_types"]
