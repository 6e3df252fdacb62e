"""Exports from, and ingest into, an Argus server.

from argus_client import EventQuery, ExportClient

with ExportClient("localhost:50051") as client:
    client.export(EventQuery(start="2024-01-01", types=["PINNED"])).to_csv("pinned.csv")
"""

from argus_client.client import DEFAULT_TARGET, ExportClient
from argus_client.errors import (
    ArgusClientError,
    BrokenExport,
    EventsMissed,
    InvalidRequest,
    LimitExceeded,
    NotAllowed,
    NotSignedIn,
    OutputError,
    ResumeRefused,
    ServerError,
    ServerUnavailable,
    SourceError,
    TlsFailed,
    Violation,
)
from argus_client.export import Export
from argus_client.query import EventQuery
from argus_client.retry import Backoff
from argus_client.stream import ResumePoint
from argus_client.tokens import TokenFile
from argus_client.transport import Tls
from argus_client.writing import Written

__all__ = [
    "DEFAULT_TARGET",
    "ArgusClientError",
    "Backoff",
    "BrokenExport",
    "EventQuery",
    "EventsMissed",
    "Export",
    "ExportClient",
    "InvalidRequest",
    "LimitExceeded",
    "NotAllowed",
    "NotSignedIn",
    "OutputError",
    "ResumePoint",
    "ResumeRefused",
    "ServerError",
    "ServerUnavailable",
    "SourceError",
    "Tls",
    "TlsFailed",
    "TokenFile",
    "Violation",
    "Written",
]
