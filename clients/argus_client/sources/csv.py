"""Our own CSV exports (RFC 4180), read back: an empty field is NULL, `""` an empty string."""

import csv
import io
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import BinaryIO, NoReturn

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
from google.protobuf.descriptor import FieldDescriptor

from argus_client.errors import SourceError
from argus_client.ingest import Batch, arrow_batches
from argus_client.sources.cells import BadCell, to_column, to_texts, without_guards
from argus_client.sources.inputs import HEAD_BYTES, Input
from argus_client.sources.objects import shown
from argus_client.sources.source import EventSource
from argus_grpc.v1.event_pb2 import Event, column

MAX_ROW_BYTES = 32 * 1024 * 1024
"""The longest row that is read, far more than an event of the most bytes that a server takes has."""

_BLOCK_BYTES = 1024 * 1024
# As columns a block is seldom larger than this, and so one batch.
_MAX_BATCH_BYTES = 2 * _BLOCK_BYTES
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_METADATA = (b"# export_id:", b'"# export_id:')
_COMMENT = ("#", '"#')
_REQUIRED = ("timestamp", "event_type")

_BARE_RETURN = re.compile(rb"\r(?!\n)")

_FIELDS: Mapping[str, FieldDescriptor] = Event.DESCRIPTOR.fields_by_name
_NAMES: Mapping[str, str] = MappingProxyType(
    {
        heading: field.name
        for field in Event.DESCRIPTOR.fields
        for heading in (field.name, field.GetOptions().Extensions[column].title)
    }
)
"""The columns' names, by what a header row may have for them."""


def looks_like(input: Input) -> bool:
    """Whether the content is a CSV export: it begins with its metadata, or with a line that names the
    columns that every event needs."""
    start = input.head.removeprefix(_BYTE_ORDER_MARK)
    first_line, _, _ = start.partition(b"\n")
    headings = {_NAMES.get(heading) for heading in _headings(first_line.decode(errors="replace"))}
    return start.startswith(_METADATA) or headings.issuperset(_REQUIRED)


@dataclass(frozen=True)
class _Header:
    """What is before the first row: the columns' names in order, whether it was made for Excel, and
    how many lines it has."""

    columns: tuple[str, ...]
    is_for_excel: bool
    lines: int


class CsvSource(EventSource):
    """A CSV export, with any of the columns in any order; timestamp and event_type have to be there.

    In one made for Excel a text loses the ' before one of = + - @ tab CR, which the formula guard puts
    there. (Text that had such a ' itself, which the guard leaves as it is, loses it too.)
    """

    def __init__(self, input: Input, source: str | None) -> None:
        """source: for all events; None: each row's own, else the input's."""
        super().__init__(input)
        self._source = source
        # What is wrong with it is told before the first event is sent.
        if b"\n" in input.head or len(input.head) < HEAD_BYTES:
            self._read_header(io.BytesIO(input.head))

    def batches(self) -> Iterator[Batch]:
        return arrow_batches(self._tables(), max_batch_bytes=_MAX_BATCH_BYTES)

    def _read(self) -> Generator[Event]:
        for table in self._tables():
            names = table.schema.names
            # Python's own instants are no finer than microseconds.
            ns = table["timestamp"].view(pa.int64())
            rows = table.set_column(names.index("timestamp"), "timestamp", ns).to_pylist()
            yield from (Event(**{k: v for k, v in row.items() if v is not None}) for row in rows)

    def _tables(self) -> Iterator[pa.RecordBatch]:
        self.guards_removed = 0
        with self._input.open() as file:
            header = self._read_header(file)
            line = header.lines + 1
            for block in self._blocks(file, line):
                if block.strip():
                    yield self._to_batch(block, header, line)
                line += block.count(b"\n")

    def _read_header(self, file: BinaryIO) -> _Header:
        is_for_excel = False
        number = 0
        while line := file.readline(MAX_ROW_BYTES):
            number += 1
            if number == 1 and line.startswith(_BYTE_ORDER_MARK):
                line = line.removeprefix(_BYTE_ORDER_MARK)
                is_for_excel = True
            text = line.decode(errors="replace")
            if not text.startswith(_COMMENT):
                return _Header(self._to_columns(text, number), is_for_excel, number)
        raise SourceError(f"{self.name} has no header row, as a CSV export has")

    def _to_columns(self, text: str, line: int) -> tuple[str, ...]:
        names: list[str] = []
        for heading in _headings(text):
            if heading not in _NAMES:
                known = f"{', '.join(_FIELDS)}, or their titles"
                self._refuse(line, f"{shown(heading)} is not a column of events; columns: {known}")
            if _NAMES[heading] in names:
                self._refuse(line, f"has the column {shown(heading)} twice")
            names.append(_NAMES[heading])
        for name in _REQUIRED:
            if name not in names:
                self._refuse(line, f"has no column {name}, which every event needs")
        return tuple(names)

    def _blocks(self, file: BinaryIO, line: int) -> Iterator[bytes]:
        """Whole rows, about _BLOCK_BYTES of them at a time; the first of them is in this line."""
        rest = b""
        while data := file.read(_BLOCK_BYTES):
            rest += data
            end = _end_of_rows(rest)
            if not end and len(rest) > MAX_ROW_BYTES:
                self._refuse(line, f"is longer than {MAX_ROW_BYTES:,} bytes; is a quote missing?")
            yield rest[:end]
            line += rest.count(b"\n", 0, end)
            rest = rest[end:]
        if rest:
            what = 'a " of it is not closed' if rest.count(b'"') % 2 else "it does not end its line"
            self._refuse(line, f"the file is cut off within its last row: {what}")

    def _to_batch(self, block: bytes, header: _Header, line: int) -> pa.RecordBatch:
        cells = self._parse(block, header.columns, line)
        columns: dict[str, pa.Array] = {}
        for name in cells.schema.names:
            try:
                values = self._to_values(_FIELDS[name], cells[name], header)
            except BadCell as error:
                told = f"{name}: {shown(error.text)} is not allowed; allowed: {error.allowed}"
                self._refuse(line + _line_of(block, error.row), told)
            if values.null_count < len(values):
                columns[name] = values
        for name in _REQUIRED:
            missing = columns[name].is_null() if name in columns else pa.array([True])
            if (row := pc.index(missing, True).as_py()) >= 0:
                self._refuse(line + _line_of(block, row), f"has no {name}, which every event needs")
        columns["source"] = self._sources(columns.get("source"), cells.num_rows)
        if (row := pc.index(columns["source"], "").as_py()) >= 0:
            told = 'source: "" is not allowed; allowed: text that is not empty'
            self._refuse(line + _line_of(block, row), told)
        return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))

    def _parse(self, block: bytes, columns: tuple[str, ...], line: int) -> pa.RecordBatch:
        if (at := _bare_return(block)) is not None:
            told = "has a carriage return outside of quotes that does not end the line"
            self._refuse(line + block.count(b"\n", 0, at), told)
        wanted = [name for name in columns if name != "sequence" and (name != "source" or not self._source)]
        # pyarrow takes one that stands first for no part of the text, which in a later block it is.
        read = _BYTE_ORDER_MARK + block if block.startswith(_BYTE_ORDER_MARK) else block
        try:
            table = _read_rows(read, columns, wanted)
        except pa.ArrowInvalid:
            if (bad := _bad_row(block, columns)) is None:
                raise
            told = f"has {bad.actual_columns} fields where the header has {bad.expected_columns}"
            self._refuse(line + _line_of(block, bad.number - 1), told)
        (batch,) = table.combine_chunks().to_batches()
        return batch

    def _to_values(self, field: FieldDescriptor, cells: pa.BinaryArray, header: _Header) -> pa.Array:
        texts = to_texts(cells)
        if header.is_for_excel and field.type == FieldDescriptor.TYPE_STRING:
            texts, count = without_guards(texts)
            self.guards_removed += count
        return to_column(field, texts)

    def _sources(self, own: pa.StringArray | None, rows: int) -> pa.StringArray:
        if self._source is not None or own is None:
            return pa.repeat(self._source or self._input.default_source, rows)
        return own.fill_null(self._input.default_source)

    def _refuse(self, line: int, what: str) -> NoReturn:
        raise SourceError(f"{self.name}, line {line:,}: {what}")


def _headings(line: str) -> list[str]:
    try:
        return next(csv.reader([line]), [])
    except csv.Error:
        # A text of any other kind may have lines of any length.
        return []


def _read_rows(
    block: bytes,
    columns: Sequence[str],
    wanted: Sequence[str],
    on_bad_row: Callable[[pacsv.InvalidRow], str] | None = None,
) -> pa.Table:
    """The cells of whole rows. Raises pa.ArrowInvalid."""
    return pacsv.read_csv(
        pa.BufferReader(block),
        pacsv.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=columns),
        pacsv.ParseOptions(newlines_in_values=True, invalid_row_handler=on_bad_row),
        pacsv.ConvertOptions(
            include_columns=wanted,
            column_types=dict.fromkeys(columns, pa.binary()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )


def _bad_row(block: bytes, columns: Sequence[str]) -> pacsv.InvalidRow | None:
    """The first row with a wrong number of fields."""
    bad_rows: list[pacsv.InvalidRow] = []

    def keep(row: pacsv.InvalidRow) -> str:
        bad_rows.append(row)
        return "error"

    # pyarrow cannot give a row that is not UTF-8 to a handler. As Latin-1 all bytes are characters, and none
    # of those that would not be UTF-8 ends a field or a row.
    text = block.decode("latin-1").encode()
    # The error is the one that the caller has already.
    with suppress(pa.ArrowInvalid):
        _read_rows(text, columns, columns, keep)
    return bad_rows[0] if bad_rows else None


def _end_of_rows(data: bytes) -> int:
    """Where the last row ends that is whole: behind a line feed with an even number of quotes before."""
    end = len(data)
    quotes = data.count(b'"')
    while (line_feed := data.rfind(b"\n", 0, end)) >= 0:
        quotes -= data.count(b'"', line_feed, end)
        if quotes % 2 == 0:
            return line_feed + 1
        end = line_feed
    return 0


def _bare_return(block: bytes) -> int | None:
    """Where there is a carriage return outside of quotes and without a line feed, which pyarrow would
    take for the end of a row, as RFC 4180 (section 2) does not."""
    quotes = counted = 0
    for found in _BARE_RETURN.finditer(block):
        quotes += block.count(b'"', counted, found.start())
        counted = found.start()
        if quotes % 2 == 0:
            return counted
    return None


def _line_of(block: bytes, row: int) -> int:
    """In which line of whole rows a row begins, both from 0; empty lines are no rows. Where quotes stand as
    RFC 4180 (section 2) does not have them, pyarrow may see more rows: those are told as the last line."""
    quotes = line = 0
    for line, text in enumerate(block.split(b"\n")):
        if quotes % 2 == 0 and text.strip(b"\r"):
            if not row:
                return line
            row -= 1
        quotes += text.count(b'"')
    return line
