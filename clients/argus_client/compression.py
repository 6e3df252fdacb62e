"""Compression whose output depends on the bytes alone, and can be gone on with at any block's end."""

import zlib
from collections.abc import Iterator
from typing import Literal

import pyarrow as pa

Compression = Literal["none", "gzip", "zstd"]

BLOCK_BYTES = 1 << 20

_GZIP_WBITS = 31  # zlib's sign for a gzip header; it writes one without a time, so bytes repeat
_GZIP_LEVEL = 6
_ZSTD_LEVEL = 3


class Compressor:
    """Compresses a stream in blocks of BLOCK_BYTES, each on its own: a gzip member (RFC 1952,
    section 2.2) or a zstd frame (RFC 8878, section 3.1), of which a file may hold any number.

    So how the stream is cut into calls does not show in what comes out, and a new compressor can
    go on where a block of another ended. With `none` the bytes pass as they are.

    settled_bytes: where to begin in the stream, a block's end; 0 is its start.
    """

    def __init__(self, compression: Compression, settled_bytes: int = 0) -> None:
        self._compression = compression
        self._block = bytearray()
        self.settled_bytes = settled_bytes
        """The bytes of the stream, from its start, whose compressed form has been handed out."""
        if compression == "zstd":
            self._zstd = pa.Codec("zstd", compression_level=_ZSTD_LEVEL)

    def settles_at(self, stream_bytes: int) -> int:
        """How many bytes of the stream have to come until so many have been handed out."""
        return stream_bytes if self._compression == "none" else -(-stream_bytes // BLOCK_BYTES) * BLOCK_BYTES

    def compress(self, data: bytes | pa.Buffer) -> Iterator[bytes | memoryview]:
        """Takes bytes, and gives those of the blocks that they complete; to be read to its end."""
        rest = memoryview(data).cast("B")
        if self._compression == "none":
            self.settled_bytes += len(rest)
            yield rest
            return
        while rest:
            taken = BLOCK_BYTES - len(self._block)
            self._block += rest[:taken]
            rest = rest[taken:]
            if len(self._block) == BLOCK_BYTES:
                yield self._end_block()

    def finish(self) -> bytes:
        """The last, shorter block. A stream of nothing is an empty block: no bytes are no gzip file."""
        if self._compression == "none" or (not self._block and self.settled_bytes):
            return b""
        return self._end_block()

    def _end_block(self) -> bytes:
        if self._compression == "gzip":
            compressed: bytes = zlib.compress(self._block, _GZIP_LEVEL, _GZIP_WBITS)
        else:
            compressed = self._zstd.compress(self._block, asbytes=True)
        self.settled_bytes += len(self._block)
        self._block = bytearray()
        return compressed
