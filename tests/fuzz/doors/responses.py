"""What a hostile server may send a client: streams of messages, of events or of groups."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random

import google_crc32c
import pyarrow as pa
from google.protobuf.message import DecodeError

from argus_client.errors import ArgusClientError, BrokenExport
from argus_client.formats import FORMATS, RenderOptions
from argus_client.rendering import FileForm, render_export
from argus_client.stream import StreamVerifier
from argus_grpc.v1.export_pb2 import (
    ExportHeader,
    ExportSummary,
    StreamAggregatesResponse,
    StreamEventsResponse,
)
from tests import scripted
from tests.fuzz.door import Attempt, Door
from tests.fuzz.mutation import mutate_bytes, mutate_message
from tests.fuzz.real import TEXTS, server_messages

_FORMS = [FileForm(format, "none", RenderOptions()) for format in FORMATS]
_CRC_IS_MENDED = 0x80


class _Read:
    """An export that the messages tell, as rendering reads one."""

    def __init__(
        self, messages: Sequence[StreamEventsResponse | StreamAggregatesResponse], verifier: StreamVerifier
    ) -> None:
        self._verifier = verifier
        self._messages = iter(messages)
        verifier.begin_call()
        while verifier.header is None:
            verifier.accept(self._next())

    def _next(self) -> StreamEventsResponse | StreamAggregatesResponse:
        message = next(self._messages, None)
        if message is None:
            self._verifier.finish()
            raise BrokenExport("the stream goes on no further")
        return message

    @property
    def header(self) -> ExportHeader:
        assert self._verifier.header is not None
        return self._verifier.header

    @property
    def summary(self) -> ExportSummary:
        assert self._verifier.summary is not None
        return self._verifier.summary

    def read(self) -> Iterator[pa.RecordBatch | None]:
        for message in self._messages:
            batch = self._verifier.accept(message)
            if batch is not None:
                batch.validate(full=True)
            yield batch
        self._verifier.finish()


@contextmanager
def _open() -> Iterator[Attempt]:
    yield _attempt


def _attempt(data: bytes) -> None:
    first, *pieces = _split(data)
    kind = first[0] if first else 0
    is_grouped = bool(kind & 1)
    try:
        messages = [_to_message(piece, is_grouped, bool(kind & _CRC_IS_MENDED)) for piece in pieces]
    except DecodeError:
        # gRPC refuses it.
        return
    try:
        export = _Read(messages, StreamVerifier(grouped=is_grouped))
        render_export(export, _FORMS[kind >> 1 & 7 if (kind >> 1 & 7) < len(_FORMS) else 0], lambda _: None)
    except ArgusClientError as error:
        assert isinstance(error, BrokenExport), error


def _to_message(
    piece: bytes, is_grouped: bool, mends_crc: bool
) -> StreamEventsResponse | StreamAggregatesResponse:
    message = (StreamAggregatesResponse if is_grouped else StreamEventsResponse).FromString(piece)
    if mends_crc and message.HasField("batch"):
        message.batch.crc32c = google_crc32c.value(message.batch.arrow)
    return message


def _split(data: bytes) -> list[bytes]:
    """A byte of its own, then pieces, each behind its length of three bytes."""
    pieces = [data[:1]]
    at = 1
    while at + 3 <= len(data):
        end = at + 3 + int.from_bytes(data[at : at + 3], "big")
        pieces.append(data[at + 3 : end])
        at = end
    return pieces


def _join(kind: int, pieces: Sequence[bytes]) -> bytes:
    return bytes([kind]) + b"".join(len(piece).to_bytes(3, "big") + piece for piece in pieces)


def _seeds() -> Iterator[bytes]:
    plain = [scripted.header(2), scripted.batch(0, 1), scripted.batch(1, 1), scripted.summary(2)]
    for form in range(len(_FORMS)):
        for kind in (0, _CRC_IS_MENDED):
            yield _join(kind | form << 1, [message.SerializeToString() for message in plain])
            yield from (
                _join(kind | form << 1 | is_grouped, pieces) for is_grouped, pieces in server_messages()
            )


def _mutate(random: Random, data: bytes, words: Sequence[bytes]) -> bytes:
    first, *pieces = _split(data)
    if not pieces or random.random() < 0.1:
        return mutate_bytes(random, data, words)
    at = random.randrange(len(pieces))
    kind = first[0] if first else 0
    message = StreamAggregatesResponse if kind & 1 else StreamEventsResponse
    match random.randrange(6):
        case 0:
            del pieces[at]
        case 1:
            pieces.insert(random.randrange(len(pieces) + 1), pieces[at])
        case 2:
            pieces[at] = mutate_message(random, pieces[at], words, message)
        case 3:
            pieces[at] = mutate_bytes(random, pieces[at], words)
        case _:
            pieces[at] = _mutate_arrow(random, pieces[at], words, message)
    return _join(kind, pieces)


def _mutate_arrow(
    random: Random,
    piece: bytes,
    words: Sequence[bytes],
    kind: type[StreamEventsResponse] | type[StreamAggregatesResponse],
) -> bytes:
    try:
        message = kind.FromString(piece)
    except DecodeError:
        return mutate_bytes(random, piece, words)
    if not message.HasField("batch"):
        return mutate_message(random, piece, words, kind)
    message.batch.arrow = mutate_bytes(random, message.batch.arrow, words)
    return message.SerializeToString()


DOOR = Door(
    open=_open,
    seeds=_seeds,
    words=(*TEXTS, b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", bytes(8), b"UTC", b"timestamp"),
    mutate=_mutate,
    follows=(
        "argus_client.stream",
        "argus_client.rendering",
        "argus_client.formats.rows",
        "argus_client.formats.csv",
        "argus_client.formats.records",
        "argus_client.formats.text",
        "argus_client.formats.metadata",
        "argus_client.formats.objects",
        "argus_client.formats.pieces",
    ),
    max_bytes=64 * 1024,
)
