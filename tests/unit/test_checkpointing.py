"""Checkpoints of a file that grows slowly, as one that follows does."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from argus_client import Backoff, ExportClient, checkpointing
from argus_client.checkpoint import Checkpoint, checkpoint_path
from argus_client.checkpointing import CheckpointedWriter
from argus_client.compression import BLOCK_BYTES, Compression
from argus_client.files import PartFile
from argus_client.formats import RenderOptions
from argus_client.stream import ResumePoint
from argus_grpc.v1.export_pb2 import StreamEventsRequest, StreamEventsResponse
from tests.scripted import Stall, altered, batch, header, progress, scripted_server, summary


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_however_many_small_batches_fill_a_block_few_places_are_kept(
    compression: Compression, tmp_path: Path
) -> None:
    path = tmp_path / "a"
    with PartFile(path) as part:
        start = Checkpoint(
            asked={},
            request=StreamEventsRequest(),
            resume_point=ResumePoint("0", 0),
            stream_bytes=0,
            rows=0,
            guarded_cells=0,
            settled_bytes=0,
            durable_bytes=0,
            sha256=part.checksums.sha256,
            store_id="store",
        )
        writer = CheckpointedWriter(part, start, compression)
        batch_bytes = 1_000
        for number in range(1, 3 * BLOCK_BYTES // batch_bytes):
            writer.write(b"x" * batch_bytes)
            writer.pause(ResumePoint(str(number), number), guarded_cells=0, rows=number)
            assert len(writer._marks) <= 2
        writer.save(None)
    saved = Checkpoint.load(path)
    assert saved is not None
    # The last place that is on disk: of the last block that is full.
    there = number if compression == "none" else 2 * BLOCK_BYTES // batch_bytes
    assert saved.resume_point == ResumePoint(str(there), there)
    assert saved.stream_bytes == there * batch_bytes <= saved.settled_bytes


def test_a_checkpoint_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    saved = Checkpoint(
        asked={},
        request=StreamEventsRequest(),
        resume_point=ResumePoint("0", 0),
        stream_bytes=0,
        rows=0,
        guarded_cells=0,
        settled_bytes=0,
        durable_bytes=0,
        sha256="",
        store_id="store",
    )
    saved.save(path)
    document = json.loads(checkpoint_path(path).read_bytes())
    assert document.pop("removed_events") == 0
    assert document.pop("rows") == 0
    checkpoint_path(path).write_text(json.dumps(document))
    assert Checkpoint.load(path) == saved


def test_while_nothing_comes_the_token_gets_newer_and_the_file_does_not_begin_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CHECKPOINT_INTERVAL_S", "IDLE_CHECKPOINT_INTERVAL_S"):
        monkeypatch.setattr(checkpointing, name, 0.0)
    path, options = tmp_path / "a.csv", RenderOptions(metadata=True)
    newer = altered(progress(0, 1_100), _with_token("newer"))
    again = (header(1, watermark=1_200), batch(0, 1), summary(1, watermark=1_200))

    times = 0

    def interrupt(_rows: int) -> None:
        nonlocal times
        times += 1
        if times == 2:
            raise KeyboardInterrupt

    with (
        scripted_server(header(0), progress(0), newer, Stall(), then=[again]) as server,
        ExportClient(server.address, backoff=Backoff(first_s=0.001)) as client,
    ):
        with pytest.raises(KeyboardInterrupt):
            client.export(follow=True).write(path, options=options, on_progress=interrupt)
        checkpoint = json.loads((tmp_path / "a.csv.part.checkpoint").read_bytes())
        assert checkpoint["resume_point"] == {"token": "newer", "rows": 0}
        client.export().write(path, options=options, resume=True)
        assert [request.resume_token for request in server.requests] == ["", "newer"]
    lines = path.read_text().splitlines()
    assert [line for line in lines if line.startswith("# watermark")] == ["# watermark: 1000"]
    assert len([line for line in lines if not line.startswith("#")]) == 2


def _with_token(token: str) -> Callable[[StreamEventsResponse], None]:
    def alter(message: StreamEventsResponse) -> None:
        message.progress.resume_token = token

    return alter
