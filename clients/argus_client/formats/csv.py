"""CSV: RFC 4180, quoted only where needed; NULL is an empty field, an empty string is `""`."""

import re
from collections.abc import Sequence
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from argus_client.formats.arrow import affixed, number
from argus_client.formats.metadata import metadata_lines
from argus_client.formats.options import RenderOptions
from argus_client.formats.pieces import Choice, Sparse, Values
from argus_client.formats.rows import RowText
from argus_client.formats.text import (
    Kind,
    decoded,
    instants,
    is_mostly_null,
    kind_of,
    mask_of_values,
    numbers,
    rows_of,
    shared_texts,
    utf8_of,
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
        mask = mask_of_values(column)
        match kind:
            case Kind.INSTANT:
                rows.add(instants(column, self._options.time_precision), "Z", mask=mask)
            case Kind.NUMBER:
                rows.add(numbers(column), mask=mask)
            case Kind.TEXT:
                rows.add(self._text(name, column), mask=mask)

    def _text(self, name: str, column: pa.Array) -> Choice | Values | Sparse:
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


def _quoted(name: str, text: pa.StringArray) -> Values | Sparse:
    """The text, with quotes where needed."""
    data = utf8_of(name, text)
    found = [character for character in _STRUCTURAL if ord(character) in data]
    if is_mostly_null(text):
        others = text.drop_null()
        needed = _needs_quotes(others, found)
        if needed is not None:
            others = pc.replace_with_mask(others, needed, _with_quotes(others.filter(needed), found))
        return Sparse("", rows_of(text), others)
    values = without_nulls(text)
    needed = _needs_quotes(values, found)
    if needed is None:
        return Values(values)
    if text.null_count:
        needed = pc.and_(needed, text.is_valid())
    return Values(values, (needed, _with_quotes(values.filter(needed), found)))


def _needs_quotes(texts: pa.StringArray, found: Sequence[str]) -> pa.BooleanArray | None:
    """Which texts are empty or have one of the characters; None: none."""
    length = pc.binary_length(texts)
    if not found and pc.min(length).as_py() != 0:
        return None
    needed = pc.equal(length, number(0, pa.int32()))
    for character in found:
        needed = pc.or_(needed, pc.match_substring(texts, character))
    return needed


def _with_quotes(texts: pa.StringArray, found: Sequence[str]) -> pa.StringArray:
    if '"' in found:
        texts = pc.replace_substring(texts, '"', '""')
    return affixed(texts, '"', '"')


@lru_cache(maxsize=256)
def _quoted_field(text: str) -> str:
    if re.search(r'[",\r\n]', text) or not text:
        return '"' + text.replace('"', '""') + '"'
    return text
