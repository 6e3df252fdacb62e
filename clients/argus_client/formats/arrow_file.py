"""Arrow: the IPC file format, which ends in a footer, so that a file that was cut cannot be read as whole.

https://arrow.apache.org/docs/format/Columnar.html#ipc-file-format
"""

import io
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from argus_client.formats.arrow import mask_of, number, string_array
from argus_client.formats.groups import GroupRenderer

_MAGIC_BYTES = 8  # padded


class ArrowFileRenderer(GroupRenderer):
    """Renders the Arrow IPC file format, not compressed, so that it can be mapped into memory. See
    Renderer."""

    def __init__(self) -> None:
        super().__init__()
        self._sink = _Sink()

    def go_on_with(self, file: BinaryIO, size_bytes: int) -> None:
        """See GroupRenderer."""
        # Written once more, to nowhere: so the writer knows where they are, and the dictionary.
        file.seek(_MAGIC_BYTES)
        try:
            with pa.ipc.open_stream(file) as batches:
                while self._sink.size_bytes < size_bytes:
                    self._writer.write_batch(batches.read_next_batch())
                    self._sink.take()
        except (StopIteration, pa.ArrowException, OSError) as error:
            raise ValueError(f"the first {size_bytes:,} bytes are not an Arrow file's: {error}") from error
        if self._sink.size_bytes != size_bytes:
            raise ValueError(f"no record batch ends at byte {size_bytes:,}")

    def _begin(self) -> bytes:
        self._writer = pa.ipc.new_file(self._sink, self.schema)
        return self._sink.take()

    def _write_group(self, group: pa.Table) -> bytes:
        columns = [_with_zeros_for_null(column.combine_chunks()) for column in group.columns]
        self._writer.write_batch(pa.record_batch(columns, schema=self.schema))
        return self._sink.take()

    def _end(self) -> bytes:
        self._writer.close()
        return self._sink.take()


class _Sink(io.RawIOBase):
    """Keeps what is written until it is taken."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        self.size_bytes += len(data)
        return len(data)

    def take(self) -> bytes:
        data = b"".join(self._pieces)
        self._pieces = []
        return data


def _with_zeros_for_null(column: pa.Array) -> pa.Array:
    """The same values; what is stored where there is none is always the same, too."""
    if not column.null_count:
        return column
    if pa.types.is_dictionary(column.type):
        return pa.DictionaryArray.from_arrays(_with_zeros_for_null(column.indices), column.dictionary)
    validity = pa.py_buffer(np.packbits(mask_of(column.is_valid()), bitorder="little"))
    if pa.types.is_string(column.type):
        filled = pc.fill_null(column, string_array(("",))[0])
    else:
        stored = column.view(pa.int64()) if pa.types.is_timestamp(column.type) else column
        filled = pc.fill_null(stored, number(0, stored.type))
    return pa.Array.from_buffers(
        column.type, len(column), [validity, *filled.buffers()[1:]], column.null_count
    )
