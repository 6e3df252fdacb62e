"""`argus-client collect`: events as they happen, into a server."""

import os
import re
import sys
import time
from hashlib import blake2b
from pathlib import Path

import click

from argus_client.cli.options import GroupedCommand, Parsed, option, server_option
from argus_client.client import ExportClient
from argus_client.collect.argus_socket import ArgusSocket, check_url, host_and_port
from argus_client.collect.collector import Collector
from argus_client.collect.counts import Counts, report, status_line
from argus_client.collect.sender import Sender
from argus_client.collect.spool import MIN_SPOOL_BYTES, Spool

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


It goes on until it is interrupted (Ctrl-C, SIGTERM), which ends it well, with exit code 0: what is in
the spool is then sent if the server takes it at once, else by the next run. Started again, it stores
no event twice. An Argus server repeats its last 100 events about virtual threads to whoever connects;
what else happened while there was no connection cannot be had any more.
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
@click.argument("url", metavar="URL", type=Parsed("url", check_url))
@option(
    "--source",
    metavar="NAME",
    heading=_WHAT,
    help="Which JVM the events are from.  [default: HOST:PORT of the URL]",
)
@option(
    "--spool",
    "spool_folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    heading=_SPOOL,
    help="The folder where events wait until the server has them; each collector needs its own.  "
    "[default: one by the URL, in the user's folder for state]",
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
@server_option
def collect_command(
    url: str, source: str | None, spool_folder: Path | None, spool_bytes: int, server: str
) -> None:
    """Store the events of a running Argus server as they happen.

    URL is its WebSocket's, such as ws://localhost:9202/events. When the Argus server goes away, it is
    connected to again; when the server that stores goes away, events wait in a spool on disk.
    """
    name = host_and_port(url)
    source = _check_source(name if source is None else source)
    status = _Status()
    counts = Counts()
    with Spool(spool_folder or default_spool(url, name), spool_bytes, status.say) as spool:
        if spool.waiting:
            status.say(f"{spool.waiting:,} events of an earlier run wait in {spool.folder}")
        try:
            with ExportClient(server, retry_for_s=0) as client:
                sender = Sender(spool, client.send_batch, counts, status.say)
                receiver = ArgusSocket(url, source, spool, counts, status.say)
                with Collector(receiver, sender) as collector:
                    collector.wait(lambda: status.show(status_line(counts, spool)))
        except KeyboardInterrupt:
            # This is how it ends, and it is all there.
            pass
        finally:
            status.clear()
            for line in report(counts, spool):
                click.echo(line, err=True)


def default_spool(url: str, name: str) -> Path:
    """The folder for a source's spool: by its name, which people recognise, and the whole URL."""
    if sys.platform == "win32":
        state = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    else:
        # XDG Base Directory Specification 0.8: data that should stay, but not be backed up or moved.
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    readable = re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip("-.")
    return (
        Path(state)
        / "argus-export"
        / "spool"
        / f"{readable}-{blake2b(url.encode(), digest_size=4).hexdigest()}"
    )


def _check_source(source: str) -> str:
    if not source or any("\ud800" <= character <= "\udfff" for character in source):
        raise click.BadParameter(
            f"{source!r} is not allowed; allowed: Unicode text that is not empty", param_hint="'--source'"
        )
    return source


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
