"""Our own Parquet and Arrow exports, read back as columns."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self, cast

import pyarrow as pa

from argus_client.errors import SourceError
from argus_client.ingest import Batch, arrow_batches
from argus_client.query import EVENT_TYPE_CODES
from argus_client.sources.inputs import Input
from argus_client.sources.objects import shown
from argus_client.sources.source import EventSource
from argus_grpc.v1.event_pb2 import Event, EventType

# https://github.com/apache/parquet-format, and Arrow's "Columnar format", section "IPC file format".
_PARQUET_MAGIC = b"PAR1"
_ARROW_MAGIC = b"ARROW1"

_BATCH_ROWS = 16_384
_REQUIRED = ("timestamp", "event_type")


def looks_like(input: Input) -> bool:
    """Whether the content is a Parquet or an Arrow IPC file."""
    return input.head.startswith((_PARQUET_MAGIC, _ARROW_MAGIC))


class OtherColumns(SourceError):
    """The file has other columns than an export of events."""


class ColumnarSource(EventSource):
    """A Parquet or Arrow export, with any of the columns in any order; timestamp and event_type have to
    be there. What comes from standard input, or compressed as a whole, is copied to a file first."""

    def __init__(self, input: Input, source: str | None) -> None:
        """source: for all events; None: each row's own, else the input's."""
        super().__init__(input)
        self._source = source
        self._is_parquet = input.head.startswith(_PARQUET_MAGIC)
        self._groups_read = 0
        self._groups = 0
        # What is wrong with it is told before the first event is sent; a copy costs too much for that.
        if not input.is_copied_to_file:
            with self._opened() as file:
                self._columns_of(file.schema)

    @property
    def fraction(self) -> float | None:
        return self._groups_read / self._groups if self._groups else None

    def batches(self) -> Iterator[Batch]:
        return arrow_batches(self._tables())

    def _read(self) -> Generator[Event]:
        for table in self._tables():
            # Python's own instants are no finer than microseconds.
            instants = table["timestamp"].cast(pa.timestamp("ns", "UTC")).view(pa.int64())
            rows = table.set_column(table.schema.get_field_index("timestamp"), "timestamp", instants)
            for row in rows.to_pylist():
                row["event_type"] = self._code_of(row["event_type"])
                yield Event(**{name: value for name, value in row.items() if value is not None})

    def _code_of(self, event_type: str | None) -> "EventType.ValueType | None":
        if event_type is not None and event_type not in EVENT_TYPE_CODES:
            raise SourceError(f"{self.name}: {shown(event_type)} is not an event type")
        return EVENT_TYPE_CODES[event_type] if event_type is not None else None

    def _tables(self) -> Iterator[pa.RecordBatch]:
        with self._opened() as file:
            columns = self._columns_of(file.schema)
            self._groups_read, self._groups = 0, file.groups
            for group in range(file.groups):
                for batch in file.read(group, columns):
                    # Whoever made the file may have had offsets point anywhere.
                    batch.validate(full=True)
                    yield self._to_events(batch)
                self._groups_read += 1

    @contextmanager
    def _opened(self) -> Iterator["_ParquetFile | _ArrowFile"]:
        with self._input.as_file() as path:
            try:
                with (_ParquetFile if self._is_parquet else _ArrowFile)(path) as file:
                    yield file
            except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
                raise SourceError(f"{self.name} is cut off or damaged: {error}") from error

    def _columns_of(self, schema: pa.Schema) -> list[str]:
        """The columns to be read. Raises OtherColumns."""
        known = Event.DESCRIPTOR.fields_by_name
        for name in schema.names:
            if name not in known:
                told = f"{shown(name)} is not a column of events; columns: {', '.join(known)}"
                raise OtherColumns(f"{self.name}: {told}")
            if schema.names.count(name) > 1:
                raise OtherColumns(f"{self.name} has the column {name} twice")
        for name in _REQUIRED:
            if name not in schema.names:
                raise OtherColumns(f"{self.name} has no column {name}, which every event needs")
        left_out = {"sequence", "source"} if self._source else {"sequence"}
        return [name for name in schema.names if name not in left_out]

    def _to_events(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        place = batch.schema.get_field_index("source")
        if place < 0:
            sources = pa.repeat(self._source or self._input.default_source, batch.num_rows)
            return batch.append_column("source", sources)
        return batch.set_column(place, "source", batch["source"].fill_null(self._input.default_source))


class _ParquetFile:
    """Row groups, which are read in batches."""

    def __init__(self, path: Path) -> None:
        # Here, since it takes long to import.
        from pyarrow import parquet

        self._file = parquet.ParquetFile(path)
        self.schema: pa.Schema = self._file.schema_arrow
        self.groups: int = self._file.num_row_groups

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, group: int, columns: list[str]) -> Iterator[pa.RecordBatch]:
        return cast(
            Iterator[pa.RecordBatch],
            self._file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=columns),
        )


class _ArrowFile:
    """Record batches."""

    def __init__(self, path: Path) -> None:
        self._file = pa.OSFile(str(path))
        try:
            self._batches = pa.ipc.open_file(self._file)
        except BaseException:
            self._file.close()
            raise
        self.schema: pa.Schema = self._batches.schema
        self.groups: int = self._batches.num_record_batches

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, group: int, columns: list[str]) -> Iterator[pa.RecordBatch]:
        yield self._batches.get_batch(group).select(columns)
