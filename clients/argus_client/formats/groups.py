"""Formats that keep rows in groups of columns: where groups end depends on the rows alone."""

from abc import ABC, abstractmethod
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from argus_client.formats.arrow import number, stored_numbers, string_array
from argus_client.formats.metadata import compact_json, export_metadata
from argus_client.query import EVENT_TYPE_CODES
from argus_client.schema import ARROW_TYPES
from argus_grpc.v1.export_pb2 import ExportHeader, ExportSummary

MAX_GROUP_ROWS = 122_880
"""As many as DuckDB has in a row group."""
MAX_GROUP_BYTES = 16 << 20
"""Of a group's values in memory; one row may be more."""

METADATA_KEY = "argus_export"

_OFFSET_BYTES = 4
# All of them, so that each group has the same dictionary, whatever types are in it.
_EVENT_TYPES = string_array(tuple(EVENT_TYPE_CODES))


class GroupRenderer(ABC):
    """A Renderer that hands out a group of rows when it is complete; until then they wait in memory.

    A group ends before the row that would take it beyond MAX_GROUP_ROWS or MAX_GROUP_BYTES. A file that
    was left unfinished goes on with a new renderer: call begin(), then go_on_with(), and give it the rows
    after those that the file has.
    """

    def __init__(self) -> None:
        self.schema = pa.schema([])
        """The file's. Its metadata have what the export is, as JSON's metadata do, under METADATA_KEY."""
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_bytes = 0
        self.waiting_rows = 0
        """How many of the rows that were rendered are not in what has been handed out."""

    def begin(self, header: ExportHeader) -> bytes:
        """See Renderer."""
        self.schema = pa.schema(
            [(column.name, ARROW_TYPES[column.type]) for column in header.columns],
            metadata={METADATA_KEY: compact_json(export_metadata(header))},
        )
        return self._begin()

    def render(self, batch: pa.RecordBatch) -> bytes | pa.Buffer:
        """See Renderer; what is returned are the groups that the batch completes."""
        if not batch.schema.equals(self.schema):
            raise ValueError("the columns are not those that the header says")
        batch = pa.record_batch([*map(_with_all_event_types, batch.columns)], schema=self.schema)
        ends = np.cumsum(_row_bytes(batch))
        groups = []
        start = bytes_before = 0
        while start < batch.num_rows:
            room_bytes = MAX_GROUP_BYTES - self._waiting_bytes
            stop = int(np.searchsorted(ends, bytes_before + room_bytes, side="right"))
            if not self.waiting_rows:
                stop = max(stop, start + 1)
            stop = min(stop, start + MAX_GROUP_ROWS - self.waiting_rows)
            if stop > start:
                self._waiting.append(batch.slice(start, stop - start))
                self.waiting_rows += stop - start
                self._waiting_bytes += int(ends[stop - 1]) - bytes_before
                start, bytes_before = stop, int(ends[stop - 1])
            if stop < batch.num_rows or self.waiting_rows == MAX_GROUP_ROWS:
                groups.append(self._end_group())
        return b"".join(groups)

    def end(self, summary: ExportSummary) -> bytes:  # noqa: ARG002 - the header has the total
        """See Renderer; the last group, and where the groups are."""
        last = self._end_group() if self.waiting_rows else b""
        return last + self._end()

    @abstractmethod
    def go_on_with(self, file: BinaryIO, size_bytes: int) -> None:
        """Takes up the so many bytes that an earlier renderer handed out, from the file's start to a
        group's end. Raises ValueError if they are not such bytes."""

    @abstractmethod
    def _begin(self) -> bytes: ...

    @abstractmethod
    def _write_group(self, group: pa.Table) -> bytes:
        """The next group, whose columns are in one piece each."""

    @abstractmethod
    def _end(self) -> bytes: ...

    def _end_group(self) -> bytes:
        group = pa.Table.from_batches(self._waiting, self.schema).combine_chunks()
        self._waiting, self._waiting_bytes, self.waiting_rows = [], 0, 0
        return self._write_group(group)


def _with_all_event_types(column: pa.Array) -> pa.Array:
    if not pa.types.is_dictionary(column.type) or column.dictionary.equals(_EVENT_TYPES):
        return column
    places = pc.index_in(column.dictionary, value_set=_EVENT_TYPES).cast(pa.int8())
    codes = places.take(column.indices)
    if codes.null_count > column.null_count:
        unknown = column.dictionary.filter(places.is_null())[0]
        raise ValueError(f"event type {unknown} is not one that this client knows")
    return pa.DictionaryArray.from_arrays(codes, _EVENT_TYPES)


def _row_bytes(batch: pa.RecordBatch) -> npt.NDArray[np.int64]:
    """How many bytes of memory the values of each row take, those of NULL too."""
    fixed_bytes = 0
    sizes = np.zeros(batch.num_rows, np.int64)
    for column in batch.columns:
        if pa.types.is_string(column.type):
            fixed_bytes += _OFFSET_BYTES
            sizes += stored_numbers(pc.fill_null(pc.binary_length(column), number(0, pa.int32())))
        else:
            type_ = column.type.index_type if pa.types.is_dictionary(column.type) else column.type
            fixed_bytes += type_.byte_width
    return sizes + fixed_bytes
