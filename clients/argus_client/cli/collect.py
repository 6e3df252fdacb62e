"""`argus-client collect`: events as they happen, into a server."""

import os
import re
import sys
import time
from hashlib import blake2b
from pathlib import Path

import click

from argus_client.cli.options import GroupedCommand, Parsed, option
from argus_client.cli.server_options import Server, server_options
from argus_client.collect.argus_socket import ArgusSocket, check_url, host_and_port
from argus_client.collect.collector import Collector, Receiver
from argus_client.collect.counts import Counts, report, status_line
from argus_client.collect.java_program import find_java
from argus_client.collect.jfr_repository import JfrRepository
from argus_client.collect.sender import Sender
from argus_client.collect.spool import MIN_SPOOL_BYTES, Spool
from argus_client.sources import is_source
from argus_grpc.v1.ingest_pb2 import IngestEventsRequest, IngestEventsResponse

_WHAT = "What"
_SPOOL = "Spool"
_STATUS_INTERVAL_S = 60.0

_BYTE_UNITS = {"": 1, "B": 1} | {
    f"{prefix}{ending}": base**power
    for power, prefix in enumerate("KMGT", 1)
    for ending, base in (("B", 1000), ("iB", 1024), ("", 1024))
}
_BYTES = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", re.ASCII)

_EPILOG = """\b
Examples:
  argus-client collect ws://localhost:9202/events
  argus-client collect ws://orders:9202/events --source orders@host-7 --spool /var/spool/argus
  argus-client collect --jfr-repository /var/jfr/orders


It goes on until it is interrupted (Ctrl-C, SIGTERM), which ends it well, with exit code 0: what is in
the spool is then sent if the server takes it at once, else by the next run. Started again, it stores
no event twice. An Argus server repeats its last 100 events about virtual threads to whoever connects;
what else happened while there was no connection cannot be had any more.

A JVM writes to its repository once a second if a recording is on (-XX:StartFlightRecording). As it ends
it removes it, with what nobody has read yet, unless it has
-XX:FlightRecorderOptions:repository=DIR,preserve-repository=true (JDK 21).
"""


def parse_bytes(text: str) -> int:
    """A number of bytes such as 256MiB, 1.5GB or 1048576. Raises ValueError with a message for people."""
    match = _BYTES.fullmatch(text.strip())
    units = {unit.lower(): size for unit, size in _BYTE_UNITS.items()}
    if not match or match[2].lower() not in units:
        raise ValueError(f"{text!r} is not a number of bytes; write 256MiB, 1GB or 1048576")
    return int(float(match[1]) * units[match[2].lower()])


def _parse_spool_bytes(text: str) -> int:
    size_bytes = parse_bytes(text)
    if size_bytes < MIN_SPOOL_BYTES:
        raise ValueError(f"{text} is not allowed; allowed: 1MiB or more")
    return size_bytes


@click.command("collect", cls=GroupedCommand, epilog=_EPILOG)
@click.argument("url", metavar="[URL]", required=False, type=Parsed("url", check_url))
@option(
    "--jfr-repository",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    heading=_WHAT,
    help="Instead of a URL: the folder that a JVM on this machine was given with "
    "-XX:FlightRecorderOptions:repository=DIR.",
)
@option(
    "--source",
    metavar="NAME",
    heading=_WHAT,
    help="Which JVM the events are from.  [default: HOST:PORT of the URL; of a repository what its JVM "
    "says, such as orders@host-7:4711, else DIR's name]",
)
@option(
    "--java",
    metavar="PROGRAM",
    heading=_WHAT,
    help="The java program of a JDK, 17 or later, which reads a repository.  [default: the first one that "
    "will do, on PATH or in JAVA_HOME]",
)
@option(
    "--spool",
    "spool_folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    heading=_SPOOL,
    help="The folder where events wait until the server has them; each collector needs its own.  "
    "[default: one by the URL or DIR, in the user's folder for state]",
)
@option(
    "--spool-bytes",
    type=Parsed("size", _parse_spool_bytes),
    metavar="SIZE",
    default="256MiB",
    show_default=True,
    heading=_SPOOL,
    help="How much of the disk it may take. Beyond that the oldest events are dropped, and counted.",
)
@server_options
def collect_command(
    url: str | None,
    jfr_repository: Path | None,
    source: str | None,
    java: str | None,
    spool_folder: Path | None,
    spool_bytes: int,
    server: Server,
) -> None:
    """Store events as they happen: those of a running Argus server, or of a running JVM's Flight Recorder.

    URL is an Argus server's WebSocket, such as ws://localhost:9202/events; wss:// is over TLS, with whom
    the system trusts (or the file in SSL_CERT_FILE). When it goes away, it is connected to again; when the
    server that stores goes away, or does not let you in, events wait in a spool on disk.
    """
    if (url is None) == (jfr_repository is None):
        raise click.UsageError("give a URL or --jfr-repository DIR, one of them")
    if source is not None:
        _check_source(source)
    status = _Status()
    counts = Counts()
    if spool_folder is None:
        spool_folder = default_spool(url or str(jfr_repository and jfr_repository.resolve()))
    program = find_java(java) if jfr_repository is not None else ""
    with Spool(spool_folder, spool_bytes, status.say) as spool:
        status.say(f"collecting from {url or jfr_repository} into {server.target}, by way of {spool.folder}")
        if spool.waiting:
            status.say(f"{spool.waiting:,} events of an earlier run wait in {spool.folder}")
        receiver: Receiver
        if url is not None:
            receiver = ArgusSocket(url, source or host_and_port(url), spool, counts, status.say)
        else:
            assert jfr_repository is not None
            receiver = JfrRepository(jfr_repository, program, source, spool, counts, status.say)
        try:
            with server.client(retry_for_s=0) as client:

                def send(request: IngestEventsRequest) -> IngestEventsResponse:
                    with server.advising():
                        return client.send_batch(request)

                sender = Sender(spool, send, counts, status.say)
                with Collector(receiver, sender) as collector:
                    collector.wait(lambda: status.show(status_line(counts, spool)))
        except KeyboardInterrupt:
            # This is how it ends, and it is all there.
            pass
        finally:
            status.clear()
            for line in report(counts, spool):
                click.echo(line, err=True)


def default_spool(place: str) -> Path:
    """The folder for the spool of a URL or folder: by its end, which people recognise, and all of it."""
    if sys.platform == "win32":
        state = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    else:
        # XDG Base Directory Specification 0.8: data that should stay, but not be backed up or moved.
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", place)[-40:].strip("-.")
    digest = blake2b(os.fsencode(place), digest_size=4).hexdigest()
    return Path(state) / "argus-export" / "spool" / f"{readable}-{digest}"


def _check_source(source: str) -> None:
    if not is_source(source):
        raise click.BadParameter(
            f"{source!r} is not allowed; allowed: Unicode text that is not empty", param_hint="'--source'"
        )


class _Status:
    """Standard error: sentences, and how it goes; on a terminal in one line that changes, elsewhere
    once a minute if anything changed."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._shown = ""
        self._shown_s = time.monotonic()

    def say(self, sentence: str) -> None:
        line, self._shown = self._shown, ""
        erase = "\r\x1b[K" if line and self._is_terminal else ""
        click.echo(f"{erase}{time.strftime('%H:%M:%S')} {sentence}", err=True)

    def show(self, line: str) -> None:
        if line == self._shown:
            return
        if self._is_terminal:
            click.echo(f"\r\x1b[K{line}", err=True, nl=False)
        elif time.monotonic() - self._shown_s < _STATUS_INTERVAL_S:
            return
        else:
            click.echo(line, err=True)
        self._shown = line
        self._shown_s = time.monotonic()

    def clear(self) -> None:
        if self._shown and self._is_terminal:
            click.echo("\r\x1b[K", err=True, nl=False)
