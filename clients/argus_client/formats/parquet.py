"""Parquet: row groups that pyarrow writes one by one, and a footer put together from theirs.

So a file can be gone on with after any row group. Its footer has to say where each one is, so what it
will say is also kept behind the group: bytes that no reader looks at, since all of them go by the footer.

https://github.com/apache/parquet-format
"""

import io
from typing import BinaryIO

import pyarrow as pa
from pyarrow import parquet

from argus_client.formats import thrift
from argus_client.formats.groups import GroupRenderer
from argus_client.formats.thrift import Struct

_MAGIC = b"PAR1"
_LENGTH_BYTES = 4
_MAX_ORDINAL = 2**15 - 1

# Behind each group: its RowGroup, how many bytes that and the group have, and this.
_GROUP_MAGIC = b"ARGR"
_GROUP_BYTES = 8
_TRAILER_BYTES = _LENGTH_BYTES + _GROUP_BYTES + len(_GROUP_MAGIC)

# Fields in parquet.thrift.
_FILE_NUM_ROWS, _FILE_ROW_GROUPS = 3, 4
_GROUP_COLUMNS, _GROUP_NUM_ROWS, _GROUP_FILE_OFFSET, _GROUP_ORDINAL = 1, 3, 5, 7
_CHUNK_FILE_OFFSET, _CHUNK_METADATA = 2, 3
_DATA_PAGE_OFFSET, _INDEX_PAGE_OFFSET, _DICTIONARY_PAGE_OFFSET = 9, 10, 11


class ParquetRenderer(GroupRenderer):
    """Renders Parquet, its columns compressed with zstd. See Renderer.

    It keeps what the footer will say of each group: of 31 columns 5 to 10 kB.
    """

    def __init__(self) -> None:
        super().__init__()
        self._position = 0
        self._rows = 0
        self._groups: list[bytes] = []

    def go_on_with(self, file: BinaryIO, size_bytes: int) -> None:
        """See GroupRenderer."""
        end, groups = size_bytes, []
        while end > len(_MAGIC):
            group, end = _read_group(file, end)
            groups.append(group)
        self._groups = groups[::-1]
        self._rows = sum(thrift.read_struct(group)[_GROUP_NUM_ROWS][1] for group in groups)
        self._position = size_bytes

    def _begin(self) -> bytes:
        self._position = len(_MAGIC)
        return _MAGIC

    def _write_group(self, group: pa.Table) -> bytes:
        data, footer = _write(self.schema, group)
        described: Struct = footer[_FILE_ROW_GROUPS][1].values[0]
        _move(described, self._position - len(_MAGIC))
        if len(self._groups) <= _MAX_ORDINAL:
            described[_GROUP_ORDINAL] = thrift.I16, len(self._groups)
        else:
            described.pop(_GROUP_ORDINAL, None)
        text = thrift.write_struct(described)
        self._groups.append(text)
        self._rows += group.num_rows
        sizes = len(text).to_bytes(_LENGTH_BYTES, "little") + len(data).to_bytes(_GROUP_BYTES, "little")
        written = b"".join((data, text, sizes, _GROUP_MAGIC))
        self._position += len(written)
        return written

    def _end(self) -> bytes:
        _, footer = _write(self.schema, None)
        footer[_FILE_ROW_GROUPS][1].values[:] = self._groups
        footer[_FILE_NUM_ROWS] = thrift.I64, self._rows
        text = thrift.write_struct(footer)
        return text + len(text).to_bytes(_LENGTH_BYTES, "little") + _MAGIC


def _write(schema: pa.Schema, group: pa.Table | None) -> tuple[pa.Buffer, Struct]:
    """The row group of a file of its own, and its footer; None gives the footer of the whole, without
    groups."""
    sink = pa.BufferOutputStream()
    with parquet.ParquetWriter(sink, schema, compression="zstd", store_schema=group is None) as writer:
        if group is not None:
            writer.write_table(group, row_group_size=group.num_rows)
    file = sink.getvalue()
    footer_end = file.size - _LENGTH_BYTES - len(_MAGIC)
    footer_start = footer_end - int.from_bytes(file[footer_end : footer_end + _LENGTH_BYTES], "little")
    footer = thrift.read_struct(file[footer_start:footer_end].to_pybytes())
    return file[len(_MAGIC) : footer_start], footer


def _move(group: Struct, by_bytes: int) -> None:
    """What a RowGroup says when the group is so many bytes further on in the file."""
    group.add_to(_GROUP_FILE_OFFSET, by_bytes)
    for chunk in group[_GROUP_COLUMNS][1].values:
        # Deprecated, and 0 in what is written today.
        if chunk[_CHUNK_FILE_OFFSET][1]:
            chunk.add_to(_CHUNK_FILE_OFFSET, by_bytes)
        for offset in (_DATA_PAGE_OFFSET, _INDEX_PAGE_OFFSET, _DICTIONARY_PAGE_OFFSET):
            chunk[_CHUNK_METADATA][1].add_to(offset, by_bytes)


def _read_group(file: BinaryIO, end: int) -> tuple[bytes, int]:
    """The RowGroup of the group that ends there, and where the group begins."""
    trailer_start = end - _TRAILER_BYTES
    file.seek(max(0, trailer_start))
    trailer = io.BytesIO(file.read(_TRAILER_BYTES))
    text_bytes = int.from_bytes(trailer.read(_LENGTH_BYTES), "little")
    group_bytes = int.from_bytes(trailer.read(_GROUP_BYTES), "little")
    start = trailer_start - text_bytes - group_bytes
    if trailer.read() != _GROUP_MAGIC or start < len(_MAGIC):
        raise ValueError(f"no row group of this program's ends at byte {end:,}")
    file.seek(trailer_start - text_bytes)
    return file.read(text_bytes), start
