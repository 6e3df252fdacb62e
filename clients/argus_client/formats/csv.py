"""CSV: RFC 4180, quoted only where needed; NULL is an empty field, an empty string is `""`."""

import re
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from argus_client.formats.arrow import int32
from argus_client.formats.metadata import metadata_lines
from argus_client.formats.options import RenderOptions
from argus_client.formats.rows import RowText
from argus_client.formats.text import (
    Choice,
    Kind,
    Values,
    affixed,
    decoded,
    instants,
    kind_of,
    numbers,
    shared_texts,
    utf8_of,
    without_most_nulls,
    without_nulls,
)
from argus_grpc.v1.export_pb2 import ExportHeader, ExportSummary

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_STRUCTURAL = '",\r\n'
_FORMULA_STARTS = (b"=", b"+", b"-", b"@", b"\t", b"\r")


class CsvRenderer:
    """Renders CSV. See Renderer.

    An export of one column writes NULL as an empty line, which many readers skip unless told
    otherwise.
    """

    guarded_cells: int
    """How many cells the formula guard has changed. Whoever resumes a file sets it first."""

    def __init__(self, options: RenderOptions) -> None:
        self.guarded_cells = 0
        self._options = options
        self._line_end = "\r\n" if options.excel else "\n"
        self._names: list[str] = []

    def begin(self, header: ExportHeader) -> bytes:
        self._names = [column.name for column in header.columns]
        lines = []
        if self._options.metadata:
            lines = [f"# {line}" for line in metadata_lines(header)]
            if self._options.excel:
                # Excel knows no comments: a comma would end the cell, and a formula could follow.
                lines = [_quoted_field(line) for line in lines]
        titles = self._options.header == "titles"
        lines.append(",".join(_quoted_field(c.title if titles else c.name) for c in header.columns))
        text = "".join(line + self._line_end for line in lines).encode()
        return _BYTE_ORDER_MARK + text if self._options.excel else text

    def render(self, batch: pa.RecordBatch) -> bytes | pa.Buffer:
        if not batch.num_rows:
            return b""
        rows = RowText(batch.num_rows)
        separator = ""
        for name, column in zip(self._names, batch.columns, strict=True):
            rows.add(separator)
            separator = ","
            self._add_cells(rows, name, column)
        rows.add(self._line_end)
        return rows.to_buffer()

    def end(self, summary: ExportSummary) -> bytes:  # noqa: ARG002 - CSV has nothing to close
        return b""

    def _add_cells(self, rows: RowText, name: str, column: pa.Array) -> None:
        kind = kind_of(name, column.type)
        if column.null_count == len(column):
            return
        column, mask = without_most_nulls(column)
        before, after = "", ""
        values: Choice | Values
        match kind:
            case Kind.INSTANT:
                before, values = instants(column, self._options.time_precision)
                after = "Z"
            case Kind.NUMBER:
                values = numbers(column)
            case Kind.TEXT:
                values = self._text(name, column)
        rows.add_values(before, values, after, mask)

    def _text(self, name: str, column: pa.Array) -> Choice | Values:
        if self._options.excel:
            return _quoted(name, self._guarded(decoded(column)))
        shared = shared_texts(column)
        if shared is not None:
            return Choice(tuple(map(_quoted_field, shared.texts)), shared.places)
        return _quoted(name, decoded(column))

    def _guarded(self, text: pa.StringArray) -> pa.StringArray:
        first = pc.binary_slice(text.cast(pa.binary()), 0, 1)
        risky = pc.is_in(first, value_set=pa.array(_FORMULA_STARTS))
        count = pc.sum(risky).as_py()
        self.guarded_cells += count
        return pc.if_else(risky, affixed(text, "'", ""), text) if count else text


def _quoted(name: str, text: pa.StringArray) -> Values:
    """The text, with quotes where needed."""
    data = utf8_of(name, text)
    found = [character for character in _STRUCTURAL if ord(character) in data]
    values = without_nulls(text)
    length = pc.binary_length(values)
    if not found and pc.min(length).as_py() != 0:
        return Values(values)
    needed = pc.equal(length, int32(0))
    for character in found:
        needed = pc.or_(needed, pc.match_substring(values, character))
    if text.null_count:
        needed = pc.and_(needed, text.is_valid())
    fields = values.filter(needed)
    if '"' in found:
        fields = pc.replace_substring(fields, '"', '""')
    return Values(values, (needed, affixed(fields, '"', '"')))


@lru_cache(maxsize=256)
def _quoted_field(text: str) -> str:
    if re.search(r'[",\r\n]', text) or not text:
        return '"' + text.replace('"', '""') + '"'
    return text
