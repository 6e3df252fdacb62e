"""`argus-client ingest --watch`: files of a folder as they are completed."""

import time
from functools import partial

from argus_client.cli.ingest_report import Report, ingest_and_tell
from argus_client.cli.retries import tell_retry
from argus_client.cli.terminal import echo
from argus_client.client import ExportClient
from argus_client.errors import ArgusClientError, SourceError
from argus_client.sources import UnknownKind, open_source
from argus_client.sources.jfr_file import Incomplete
from argus_client.watching import FoundFile, WatchedFolder
from argus_grpc.v1.ingest_pb2 import IngestEventsRequest, IngestEventsResponse

POLL_INTERVAL_S = 1.0


def watch(folder: WatchedFolder, client: ExportClient, source: str | None, jfr: str | None) -> None:
    """Takes the folder's files, those to come as well, until KeyboardInterrupt: that ends it well between
    two files, and is raised on within one. A file that cannot be read is told of, and left until it
    changes."""
    watcher = _Watcher(folder, client, source, jfr)
    echo(f"Watching {folder.folder}; Ctrl-C ends it", err=True)
    try:
        while True:
            for file in folder.look():
                watcher.take(file)
            time.sleep(POLL_INTERVAL_S)
    except KeyboardInterrupt as interrupt:
        if watcher.current is not None:
            told = f"{watcher.current.path} was not through; the same command goes on with it"
            interrupt.add_note(f"{told}, and stores nothing twice.")
            raise
    finally:
        watcher.report.tell_all()


class _Watcher:
    """Sends files as they are found."""

    def __init__(
        self, folder: WatchedFolder, client: ExportClient, source: str | None, jfr: str | None
    ) -> None:
        self.report = Report()
        self.current: FoundFile | None = None
        """The file whose events are being sent."""
        self._folder = folder
        self._client = client
        self._source = source
        self._jfr = jfr
        self._told_incomplete: set[str] = set()

    def take(self, file: FoundFile) -> None:
        """Stores a file's events. Raises what hinders it, except what is wrong with the file."""
        try:
            events = open_source(file.path, self._source, jfr=self._jfr)
            self.current = file
            ingest_and_tell(events, self._send, self.report, after_all=partial(self._keep, file))
        except UnknownKind:
            echo(f"{file.path}: left out, neither a recording nor an export", err=True)
            self._folder.refuse(file)
        except Incomplete as error:
            # One that grows by fits and starts is told of once.
            if file.key not in self._told_incomplete:
                echo(f"{error}; waiting for the rest", err=True)
            self._told_incomplete.add(file.key)
            self._folder.refuse(file)
        except SourceError as error:
            if file.path.exists():
                echo(f"{error}; it is tried again when it changes", err=True)
            self._folder.refuse(file)
        self.current = None

    def _keep(self, file: FoundFile) -> None:
        self.current = None
        self._folder.take(file)

    def _send(self, request: IngestEventsRequest) -> IngestEventsResponse:
        return self._client.send_batch(request, wait_for_server=True, on_retry=_tell_some_retries)


def _tell_some_retries(attempt: int, wait_s: float, error: ArgusClientError) -> None:
    # A service may be away for days: the first, second, fourth, eighth … try.
    if attempt & (attempt - 1) == 0:
        tell_retry(attempt, wait_s, error)
