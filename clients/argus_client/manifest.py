"""FILE.manifest.json: what a finished file is, with the checksums that prove it whole."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import google_crc32c
import pyarrow as pa

from argus_client.formats import export_metadata
from argus_grpc.v1.export_pb2 import ColumnType, ExportHeader, ExportSummary

CHUNK_BYTES = 16 << 20

_VERSION = 1
# Of the parts of a manifest, those without which nothing can be checked or said.
_REQUIRED: Mapping[str, type] = {
    "file": str,
    "bytes": int,
    "sha256": str,
    "rows": int,
    "complete": bool,
    "rowsRemaining": int,
    "exportId": str,
    "exportedAt": str,
    "watermark": int,
    "guardedCells": int,
    "request": dict,
    "chunkBytes": int,
    "chunkCrc32c": list,
}


class Checksums:
    """Checksums of bytes as they are written or read: SHA-256 (FIPS 180-4) of them all, which
    proves, and CRC-32C (RFC 3720, section B.4) of each chunk, which says where: a fifth of the
    cost of a second SHA-256."""

    def __init__(self, chunk_bytes: int = CHUNK_BYTES) -> None:
        self.chunk_bytes = chunk_bytes
        self.size_bytes = 0
        self._sha256 = hashlib.sha256()
        self._ended_chunks: list[int] = []
        self._chunk_crc32c = 0

    def update(self, data: bytes | memoryview | pa.Buffer) -> None:
        self._sha256.update(data)
        # An Arrow buffer, since the C code of google_crc32c takes no memoryview.
        whole, start = pa.py_buffer(data), 0
        while start < whole.size:
            room = self.chunk_bytes - self.size_bytes % self.chunk_bytes
            part = whole.slice(start, min(room, whole.size - start))
            self._chunk_crc32c = google_crc32c.extend(self._chunk_crc32c, part)
            start += part.size
            self.size_bytes += part.size
            if part.size == room:
                self._ended_chunks.append(self._chunk_crc32c)
                self._chunk_crc32c = 0

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    @property
    def chunk_crc32c(self) -> list[str]:
        """Of each chunk, in eight hexadecimal digits; the last may be shorter."""
        last = [self._chunk_crc32c] if self.size_bytes % self.chunk_bytes else []
        return [f"{crc32c:08x}" for crc32c in self._ended_chunks + last]


class InvalidManifest(ValueError):
    """The text is not a manifest, or a damaged one."""


@dataclass(frozen=True)
class Manifest:
    """What a manifest says; `members` as in the file, without the first and last ones about itself."""

    members: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        file_name: str,
        header: ExportHeader,
        summary: ExportSummary,
        checksums: Checksums,
        *,
        request: Mapping[str, Any],
        form: Mapping[str, Any],
        guarded_cells: int,
        removed_events: int,
        client_version: str,
    ) -> Self:
        """Of a finished file. `request` is what was asked for, `form` how it is written.

        removed_events: how many events the store no longer had when the export began; the header of one
            that was gone on with says how many it has lost since.
        """
        metadata = export_metadata(header)
        # They are the rows.
        del metadata["totalGroups" if header.HasField("aggregation") else "totalEvents"]
        # That of an export that was followed is beyond its header's.
        metadata["watermark"] = summary.watermark
        return cls(
            {
                "file": file_name,
                "bytes": checksums.size_bytes,
                "sha256": checksums.sha256,
                "rows": summary.total_rows,
                "complete": summary.completeness == ExportSummary.COMPLETENESS_COMPLETE,
                "rowsRemaining": summary.rows_remaining,
                **metadata,
                "columns": [
                    {
                        "name": column.name,
                        "type": ColumnType.Name(column.type).removeprefix("COLUMN_TYPE_").lower(),
                        "unit": column.unit or None,
                    }
                    for column in header.columns
                ],
                "storeId": header.store_id,
                "removedEvents": removed_events,
                **form,
                "guardedCells": guarded_cells,
                "serverVersion": header.server_version,
                "clientVersion": client_version,
                "request": dict(request),
                "chunkBytes": checksums.chunk_bytes,
                "chunkCrc32c": checksums.chunk_crc32c,
            }
        )

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """Raises InvalidManifest, saying what is wrong."""
        try:
            document = json.loads(text)
        except ValueError as error:
            raise InvalidManifest(f"is not JSON ({error})") from None
        if not isinstance(document, dict) or "manifestVersion" not in document:
            raise InvalidManifest("is not a manifest of an Argus export")
        version = document.pop("manifestVersion")
        if version != _VERSION:
            raise InvalidManifest(f"is of version {version!r}; this program reads {_VERSION}")
        digest = document.pop("manifestSha256", None)
        manifest = cls(document)
        if digest != manifest._digest():
            raise InvalidManifest("was changed after it was written: its own SHA-256 differs")
        for name, type_ in _REQUIRED.items():
            if not isinstance(document.get(name), type_):
                raise InvalidManifest(f"has no {name}")
        return manifest

    def to_json(self) -> bytes:
        document = {"manifestVersion": _VERSION, **self.members, "manifestSha256": self._digest()}
        return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()

    def __getitem__(self, name: str) -> Any:
        return self.members[name]

    @property
    def summary(self) -> ExportSummary:
        """How the export ended; without the continuation token, which no file keeps."""
        return ExportSummary(
            completeness=ExportSummary.COMPLETENESS_COMPLETE
            if self["complete"]
            else ExportSummary.COMPLETENESS_TRUNCATED,
            total_rows=self["rows"],
            watermark=self["watermark"],
            rows_remaining=self["rowsRemaining"],
        )

    def _digest(self) -> str:
        text = json.dumps(self.members, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def manifest_path(path: Path) -> Path:
    """Where the manifest of a file is."""
    return path.with_name(f"{path.name}.manifest.json")


def read_manifest(path: Path) -> Manifest:
    """Raises OSError, and InvalidManifest that says what is wrong."""
    return Manifest.from_json(path.read_bytes())
