"""CSV: RFC 4180, quoted only where needed; NULL is an empty field, an empty string is `""`."""

import re

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.csv import WriteOptions, write_csv

from argus_client.formats.metadata import metadata_lines
from argus_client.formats.options import RenderOptions
from argus_client.formats.text import Kind, affixed, decoded, instants, kind_of, numbers, text_buffer
from argus_grpc.v1.export_pb2 import ExportHeader, ExportSummary

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_STRUCTURAL = b'",\r\n'
# Arrow's writer is the fastest way to lay columns out as lines, but it refuses, or quotes all, once
# a value holds a structural character. So these pass through it as bytes that UTF-8 never has.
_QUOTE = _STRUCTURAL.index(b'"')
_STAND_INS = b"\xfc\xfd\xfe\xff"
_HIDE = bytes.maketrans(_STRUCTURAL, _STAND_INS)
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
        structural = set[int]()
        columns = [
            self._cells(name, column, structural)
            for name, column in zip(self._names, batch.columns, strict=True)
        ]
        sink = pa.BufferOutputStream()
        layout = WriteOptions(include_header=False, quoting_style="none", batch_size=batch.num_rows)
        write_csv(pa.record_batch(columns, names=self._names), sink, layout)
        lines = sink.getvalue()
        if not structural and not self._options.excel:
            return lines
        text: bytes = lines.to_pybytes()
        if self._options.excel:
            text = text.replace(b"\n", b"\r\n")
        for place in structural:
            text = text.replace(_STAND_INS[place : place + 1], _STRUCTURAL[place : place + 1])
        return text

    def end(self, summary: ExportSummary) -> bytes:  # noqa: ARG002 - CSV has nothing to close
        return b""

    def _cells(self, name: str, column: pa.Array, structural: set[int]) -> pa.StringArray:
        match kind_of(name, column.type):
            case Kind.INSTANT:
                start, rest = instants(column, self._options.time_precision)
                return affixed(rest, start, "Z")
            case Kind.NUMBER:
                return numbers(column)
            case Kind.TEXT:
                text = decoded(column)
                if self._options.excel:
                    text = self._guarded(text)
                return _quoted(name, text, structural)

    def _guarded(self, text: pa.StringArray) -> pa.StringArray:
        first = pc.binary_slice(text.cast(pa.binary()), 0, 1)
        risky = pc.is_in(first, value_set=pa.array(_FORMULA_STARTS))
        count = pc.sum(risky).as_py()
        self.guarded_cells += count
        return pc.if_else(risky, affixed(text, "'", ""), text) if count else text


def _quoted(name: str, text: pa.StringArray, structural: set[int]) -> pa.StringArray:
    """The text with quotes where needed, structural characters as their stand-ins.

    The places in _STRUCTURAL of those that occur are added to `structural`.
    """
    data = text_buffer(text).to_pybytes()
    if any(byte in data for byte in _STAND_INS):
        raise ValueError(f"column {name}: the text is not UTF-8")
    length = pc.binary_length(text)
    shortest = pc.min(length).as_py()
    found = [place for place, byte in enumerate(_STRUCTURAL) if byte in data]
    if shortest != 0 and not found:
        return text
    needed = pc.equal(length, 0)
    for place in found:
        needed = pc.or_(needed, pc.match_substring(text, chr(_STRUCTURAL[place])))
    needed = needed.fill_null(False)
    fields = text.filter(needed)
    if _QUOTE in found:
        fields = pc.replace_substring(fields, '"', '""')
    fields = affixed(fields, '"', '"')
    structural.update(found, [_QUOTE])
    hidden = pa.py_buffer(text_buffer(fields).to_pybytes().translate(_HIDE))
    stand_ins = pa.StringArray.from_buffers(len(fields), fields.buffers()[1], hidden)
    return pc.replace_with_mask(text, needed, stand_ins)


def _quoted_field(text: str) -> str:
    if re.search(r'[",\r\n]', text) or not text:
        return '"' + text.replace('"', '""') + '"'
    return text
