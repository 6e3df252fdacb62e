"""The channel to one server, and calls in a caller's name."""

import threading
import weakref
from collections.abc import Iterator
from typing import Any, Generic, NoReturn, Protocol, TypeVar

import grpc

from argus_client.errors import InvalidRequest, NotSignedIn
from argus_client.statuses import is_from_transport, to_client_error
from argus_client.tokens import TokenSource, current_token
from argus_client.transport import Credentials, Tls, choose_tls, open_channel
from argus_grpc.v1.export_pb2_grpc import ExportServiceStub
from argus_grpc.v1.ingest_pb2_grpc import IngestServiceStub

_CHANNEL_OPTIONS = (
    # A peer that vanished without a word is noticed within 80 s, in a quiet stream too.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.max_pings_without_data", 0),
    # While the channel waits, calls fail without a try; how long to wait is the retry rule's to say.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # A connection of its own: on a shared one a stream that is not read would hold up the others.
    ("grpc.use_local_subchannel_pool", 1),
)

_Response_co = TypeVar("_Response_co", covariant=True)
_Message = TypeVar("_Message")


class MessageStream(Protocol[_Response_co]):
    """The messages of a call, which can be called off."""

    def __iter__(self) -> Iterator[_Response_co]: ...
    def cancel(self) -> object: ...


class Method(Protocol[_Response_co]):
    """A method of a stub."""

    def __call__(self, request: Any, /, *, metadata: tuple[tuple[str, str], ...]) -> _Response_co: ...


class Channel:
    """The way to the server at `target`, over TLS with these files or (None) in plaintext. It connects
    when the first call is made, and anew for the next call when the files have changed."""

    def __init__(self, target: str, files: Credentials | None) -> None:
        self.target = target
        self.has_answered = False
        """Whether the server has ever answered; if not, the address may be wrong."""
        self._files = files
        self._changing = threading.Lock()
        self._streams: weakref.WeakSet[MessageStream[Any]] = weakref.WeakSet()
        self._connect(None if files is None else files.current())

    @property
    def tls(self) -> Tls | None:
        return None if self._files is None else self._files.tls

    def apart(self) -> "Channel":
        """One with a connection of its own, made with the same files: as they are, or last were good."""
        return Channel(self.target, self._files)

    @property
    def exports(self) -> ExportServiceStub:
        self._renew_if_changed()
        return self._exports

    @property
    def ingests(self) -> IngestServiceStub:
        self._renew_if_changed()
        return self._ingests

    @property
    def health_check(self) -> Method[bytes]:
        """The method of grpc.health.v1, whose one message each way needs no library: of all that the server
        serves, when asked with none."""
        self._renew_if_changed()
        check: Method[bytes] = self._open.unary_unary("/grpc.health.v1.Health/Check")
        return check

    def add_stream(self, call: MessageStream[Any]) -> None:
        """Has `close` call it off, whichever connection it is on."""
        with self._changing:
            self._streams.add(call)

    def close(self) -> None:
        """Calls that are under way end as cancelled."""
        with self._changing:
            streams = list(self._streams)
        for call in streams:
            call.cancel()
        self._open.close()

    def _renew_if_changed(self) -> None:
        found = None if self._files is None else self._files.current()
        if found is self._credentials:
            return
        with self._changing:
            if found is not self._credentials:
                # The one before is not closed: gRPC does so when the last call over it has ended.
                self._connect(found)

    def _connect(self, credentials: grpc.ChannelCredentials | None) -> None:
        self._open = open_channel(self.target, self.tls, credentials, _CHANNEL_OPTIONS)
        self._exports, self._ingests = ExportServiceStub(self._open), IngestServiceStub(self._open)
        self._credentials = credentials


class Connection:
    """Calls to the server at the channel's end, in the name of whoever the token says. Several may share
    a channel."""

    def __init__(self, channel: Channel, token: TokenSource | None = None) -> None:
        current_token(None if callable(token) else token)
        self._channel = channel
        self._token = token

    @classmethod
    def open(
        cls, target: str, *, token: TokenSource | None = None, tls: Tls | None = None, insecure: bool = False
    ) -> "Connection":
        """One with a channel of its own. Raises InvalidRequest."""
        chosen = choose_tls(target, tls, insecure=insecure)
        return cls(Channel(target, Credentials(chosen) if chosen is not None else None), token)

    def as_caller(self, token: TokenSource | None) -> "Connection":
        """One that shares the channel, and calls in another name. Raises InvalidRequest."""
        return Connection(self._channel, token)

    def apart(self, token: TokenSource | None) -> "Connection":
        """One with a channel of its own to the same server. Raises InvalidRequest."""
        return Connection(self._channel.apart(), token)

    @property
    def exports(self) -> ExportServiceStub:
        return self._channel.exports

    @property
    def ingests(self) -> IngestServiceStub:
        return self._channel.ingests

    @property
    def health_check(self) -> Method[bytes]:
        return self._channel.health_check

    @property
    def has_answered(self) -> bool:
        """Whether the server has ever answered; if not, the address may be wrong."""
        return self._channel.has_answered

    def close(self) -> None:
        """Closes the channel; calls that are under way end as cancelled."""
        self._channel.close()

    def call(self, method: Method[_Message], request: object) -> _Message:
        """The answer to a unary call. Raises an ArgusClientError."""
        token = current_token(self._token)
        try:
            response = method(request, metadata=_metadata(token))
        except grpc.RpcError as error:
            self._raise_for(error, token)
        self._channel.has_answered = True
        return response

    def stream(self, method: Method[MessageStream[_Message]], request: object) -> MessageStream[_Message]:
        """The messages of a call until its status is OK, to be read once. Raises InvalidRequest if the
        token cannot be one; reading raises an ArgusClientError."""
        token = current_token(self._token)
        call = method(request, metadata=_metadata(token))
        self._channel.add_stream(call)
        return _Stream(self, call, token)

    def _raise_for(self, error: grpc.RpcError, token: str | None) -> NoReturn:
        channel = self._channel
        told = to_client_error(error, channel.target, has_answered=channel.has_answered)
        if is_from_transport(error) and (channel.tls is not None or not channel.has_answered):
            # Here, since it is needed only after a failure.
            from argus_client.handshake import find_tls_problem

            told = find_tls_problem(channel.target, channel.tls) or told
        elif isinstance(told, NotSignedIn):
            told.has_new_token = self._has_another_token_than(token)
        raise told from error

    def _has_another_token_than(self, token: str | None) -> bool:
        try:
            return current_token(self._token) != token
        except InvalidRequest:
            return False


class _Stream(Generic[_Message]):
    """A stream's messages, with its errors in this library's words."""

    def __init__(self, connection: Connection, call: MessageStream[_Message], token: str | None) -> None:
        self._connection = connection
        self._call = call
        self._token = token

    def __iter__(self) -> Iterator[_Message]:
        messages = iter(self._call)
        while True:
            try:
                message = next(messages)
            except StopIteration:
                return
            except grpc.RpcError as error:
                self._connection._raise_for(error, self._token)
            self._connection._channel.has_answered = True
            yield message

    def cancel(self) -> object:
        return self._call.cancel()


def _metadata(token: str | None) -> tuple[tuple[str, str], ...]:
    # RFC 6750 section 2.1.
    return () if token is None else (("authorization", f"Bearer {token}"),)
