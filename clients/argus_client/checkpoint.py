"""FILE.part.checkpoint: where an unfinished file stands, so that a new process can go on with it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError

from argus_client.errors import OutputError, Violation
from argus_client.files import part_path, write_atomically
from argus_client.grouping import format_group_key, format_measure
from argus_client.manifest import Manifest
from argus_client.query import invalid_request
from argus_client.resuming import Request
from argus_client.stream import ResumePoint
from argus_grpc.v1.export_pb2 import Order, StreamAggregatesRequest, StreamEventsRequest

_VERSION = 1
_REQUESTS: Mapping[str, type[Request]] = {
    type_.DESCRIPTOR.name: type_ for type_ in (StreamEventsRequest, StreamAggregatesRequest)
}


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Says only what is on disk already.

    asked: what was asked for, see describe_request().
    request: the request itself, without a token: a window such as the last hour is fixed in it.
    resume_point, stream_bytes, guarded_cells: a place in the export, how many bytes of the
        uncompressed file come before it, and how many cells had been guarded there.
    settled_bytes: the bytes of the uncompressed file that durable_bytes hold; at least stream_bytes,
        so whoever goes on skips the first of what is rendered from there.
    durable_bytes, sha256: the length of what is kept of the part, and its digest.
    store_id: the store that the events are from.
    removed_events: how many events the store no longer had when the export began.
    manifest: of the finished file, all of which is on disk; None while it is being written.
    """

    asked: Mapping[str, Any]
    request: Request
    resume_point: ResumePoint
    stream_bytes: int
    guarded_cells: int
    settled_bytes: int
    durable_bytes: int
    sha256: str
    store_id: str
    removed_events: int = 0
    manifest: Manifest | None = None

    def save(self, path: Path) -> None:
        """Puts it beside the file for `path`. Raises OutputError."""
        document = {
            "checkpointVersion": _VERSION,
            **{field.name: getattr(self, field.name) for field in fields(self)},
            "asked": dict(self.asked),
            "request_type": self.request.DESCRIPTOR.name,
            "request": MessageToDict(self.request, preserving_proto_field_name=True),
            "resume_point": {"token": self.resume_point.token, "rows": self.resume_point.rows},
            "manifest": self.manifest and json.loads(self.manifest.to_json()),
        }
        write_atomically(
            checkpoint_path(path), (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()
        )

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """The one beside the file for `path`; None if there is none. Raises OutputError."""
        here = checkpoint_path(path)
        try:
            document = json.loads(here.read_bytes())
            if document.pop("checkpointVersion") != _VERSION:
                raise OutputError(f"{here} was written by another version; start anew without --resume")
            request_type = _REQUESTS[document.pop("request_type", StreamEventsRequest.DESCRIPTOR.name)]
            document["request"] = ParseDict(document["request"], request_type())
            document["resume_point"] = ResumePoint(**document["resume_point"])
            if document["manifest"]:
                document["manifest"] = Manifest.from_json(json.dumps(document["manifest"]).encode())
            return cls(**document)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise OutputError(f"cannot read {here}: {error.strerror or error}") from error
        except (ValueError, TypeError, KeyError, AttributeError, ParseError) as error:
            raise OutputError(f"{here} is damaged; start anew without --resume") from error

    def check_asked(self, asked: Mapping[str, Any]) -> None:
        """Raises InvalidRequest, naming all that differs from what is asked for now."""
        check_asked(self.asked, asked, "the interrupted export")


def checkpoint_path(path: Path) -> Path:
    """Where the checkpoint of the file for `path` is."""
    part = part_path(path)
    return part.with_name(f"{part.name}.checkpoint")


def describe_request(request: Request, last: str | None) -> dict[str, Any]:
    """What a request asks for, as values of JSON by the paths of its fields; what is unset is left out.

    last: a window up to now that start_time came from, such as 15m; it stands for that time.
    """
    described: dict[str, Any] = {}
    for name, value in MessageToDict(request.query, preserving_proto_field_name=True).items():
        if name == "start_time" and last is not None:
            described["query.last"] = last
        elif name == "event_types":
            described[f"query.{name}"] = [type_.removeprefix("EVENT_TYPE_") for type_ in value]
        elif isinstance(value, dict):
            described |= {f"query.{name}.{key}": part for key, part in value.items()}
        else:
            described[f"query.{name}"] = value
    if request.limit:
        described["limit"] = request.limit
    if isinstance(request, StreamAggregatesRequest):
        described["group_by"] = [format_group_key(key) for key in request.group_by]
        described["measures"] = [format_measure(measure) for measure in request.measures]
        return described
    if request.columns:
        described["columns"] = list(request.columns)
    described["order"] = Order.Name(request.order).removeprefix("ORDER_").lower()
    return described


def check_asked(earlier: Mapping[str, Any], now: Mapping[str, Any], whose: str) -> None:
    """Raises InvalidRequest, naming each difference with both values."""
    differing = [key for key in {**now, **earlier} if now.get(key) != earlier.get(key)]
    if differing:
        raise invalid_request(
            tuple(
                Violation(key, f"{_tell(now.get(key))}, but {whose} has {_tell(earlier.get(key))}")
                for key in differing
            )
        )


def _tell(value: object) -> str:
    if value is None or value == []:
        return "none given"
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
