"""argus-server: keeps JVM events in DuckDB and streams them out over gRPC."""

import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

try:
    import structlog

    from argus_grpc.access.watching import BadFile
    from argus_grpc.commands.health import health
    from argus_grpc.commands.policy import policy
    from argus_grpc.commands.token import token
    from argus_grpc.config import Config, default_database
    from argus_grpc.errors import ArgusError
    from argus_grpc.settings import BadSettings, load_config, misspelt_variables
    from argus_grpc.version import VERSION
except ModuleNotFoundError as error:
    sys.exit(f"argus-server needs more than the client does ({error}): pip install 'argus-export[server]'")


_FILE = click.Path(dir_okay=False, path_type=Path)


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"argus-server {VERSION}")
        context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, invoke_without_command=True)
@click.option(
    "--db", type=click.Path(path_type=Path), help=f"The database file. [default: {default_database()}]"
)
@click.option(
    "--retention",
    metavar="TIME",
    help="How long an event is kept after it came in: 30s, 15m, 12h, 7d, 4w. [default: for ever]",
)
@click.option(
    "--max-database-bytes",
    metavar="SIZE",
    help="The most that the database's files may have, 256MiB or more; the oldest events make room."
    " [default: no bound]",
)
@click.option(
    "--no-persistence",
    is_flag=True,
    default=None,
    help="Keep only the newest events, in memory; they end with the server.",
)
@click.option(
    "--buffer-events",
    type=int,
    metavar="N",
    help="With --no-persistence: how many events are kept, up to 10,000,000. [default: 65536]",
)
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help="Where to listen; port 0 takes a free one. [default: 127.0.0.1:50051]",
)
@click.option(
    "--tls-cert",
    type=_FILE,
    help="Serve over TLS: the certificate and its chain, PEM. Read again when it changes, as the key is.",
)
@click.option("--tls-key", type=_FILE, help="The private key of --tls-cert, PEM.")
@click.option(
    "--tls-client-ca",
    type=_FILE,
    help="Let in only clients with a certificate of these authorities, PEM; --policy says in which role.",
)
@click.option("--tokens", type=_FILE, help="The file that `argus-server token create` keeps tokens in.")
@click.option(
    "--jwt-jwks",
    metavar="FILE|URL",
    help="Accept JSON Web Tokens that one of these keys has signed: a file, or an https address.",
)
@click.option(
    "--jwt-issuer", metavar="TEXT", help="What a JSON Web Token's iss must be; needed with --jwt-jwks."
)
@click.option(
    "--jwt-audience", metavar="TEXT", help="What a JSON Web Token's aud must have; needed with --jwt-jwks."
)
@click.option(
    "--jwt-name-claim",
    metavar="CLAIM",
    help="Which claim of a JSON Web Token names the caller. [default: sub]",
)
@click.option(
    "--jwt-role-claim", metavar="CLAIM", help="Which claim of a JSON Web Token has the role. [default: role]"
)
@click.option(
    "--insecure",
    is_flag=True,
    default=None,
    help="Listen beyond this machine without TLS, or without asking who calls.",
)
@click.option(
    "--policy",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A TOML file of roles: who may take what out. [default: admin, reader and writer]",
)
@click.option("--max-exports", type=int, metavar="N", help="How many exports may run at once. [default: 128]")
@click.option(
    "--queue-timeout-s",
    type=float,
    metavar="SECONDS",
    help="How long an export beyond --max-exports waits for its turn, before it is refused. [default: 30]",
)
@click.option(
    "--max-queued",
    type=int,
    metavar="N",
    help="How many exports may wait for their turn at once; 0: none does. [default: 64]",
)
@click.option(
    "--export-memory",
    metavar="SIZE",
    help="What running exports share for events on their way, beside DuckDB's own. [default: 64MiB]",
)
@click.option(
    "--max-ingests",
    type=int,
    metavar="N",
    help="How many batches may be on their way to the disk at once. [default: 1024]",
)
@click.option(
    "--ingest-memory",
    metavar="SIZE",
    help="How much these batches may hold together; more is refused for the time being. [default: 64MiB]",
)
@click.option(
    "--commit-interval-s",
    type=float,
    metavar="SECONDS",
    help="How far apart commits begin while batches come from several clients; what comes between shares the"
    " next one. [default: 0.05]",
)
@click.option(
    "--commit-size", metavar="SIZE", help="How much is committed at once without that wait. [default: 8MiB]"
)
@click.option(
    "--batch-id-lifetime-s",
    type=int,
    metavar="SECONDS",
    help="How long a batch that is sent again is known by its id. [default: 604800, 7 days]",
)
@click.option(
    "--disk-reserve",
    metavar="SIZE",
    help="Batches are refused when no more than this is free on the database's disk. [default: 128MiB]",
)
@click.option(
    "--stall-timeout-s",
    type=float,
    metavar="SECONDS",
    help="How long an export waits for a client that reads nothing. [default: 300]",
)
@click.option(
    "--memory-limit",
    metavar="SIZE",
    help="The most memory DuckDB takes before it uses disk. [default: 96MiB]",
)
@click.option(
    "--token-lifetime-s", type=int, metavar="SECONDS", help="How long a resume token holds. [default: 86400]"
)
@click.option(
    "--shutdown-grace-s",
    type=float,
    metavar="SECONDS",
    help="How long running calls may take to end at a stop. [default: 10]",
)
@click.option(
    "--audit-log",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Append a line of JSON for every export, ingest and refusal; while that cannot be written, exports"
    " and ingests are refused. [default: none]",
)
@click.option(
    "--metrics-listen",
    metavar="HOST:PORT",
    help="Serve metrics to Prometheus there, over plain HTTP. [default: nowhere]",
)
@click.option(
    "--reflection/--no-reflection",
    default=None,
    help="Whether gRPC's reflection tells tools what can be called. [default: reflection]",
)
@click.option(
    "--otel",
    is_flag=True,
    default=None,
    help="Trace every call with OpenTelemetry, which the OTEL_ variables set up.",
)
@click.option(
    "--config",
    "config_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar="ARGUS_CONFIG",
    help='A TOML file with the same settings: db = "…", max_exports = 128, …',
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Say the version.",
)
@click.pass_context
def main(context: click.Context, /, config_file: Path | None, **flags: Any) -> None:
    """Keeps JVM events in a DuckDB file and streams them out over gRPC.

    Every setting can also come from the environment, as ARGUS_DB, ARGUS_LISTEN, ARGUS_MAX_EXPORTS
    and so on, or from the file that --config names. A flag goes before the environment, the
    environment before the file.

    ARGUS_TOKEN_KEY, or token_key in the file, is the secret that resume tokens are signed with (32
    characters or more); give it to every replica. Without it one is kept with the database.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    if context.invoked_subcommand:
        if typed := _typed_flags(context):
            raise click.UsageError(f"{min(typed)} is for serving; it goes with no command")
        return
    _log_to_stderr()
    try:
        config = load_config(given, config_file)
    except BadSettings as error:
        raise click.UsageError(str(error)) from None
    for sentence in misspelt_variables():
        click.secho(f"WARNING: {sentence}", fg="yellow", err=True)
    _serve(config)


def _typed_flags(context: click.Context) -> list[str]:
    """The flags on the command line, and not what the environment gives, as they are written."""
    return [
        (option.secondary_opts if context.params[option.name] is False else option.opts)[0]
        for option in context.command.params
        if option.name in context.params
        and context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE
    ]


main.add_command(health)
main.add_command(policy)
main.add_command(token)


def _serve(config: Config) -> None:
    # Strangers could otherwise fill the log: gRPC has a line of its own for each handshake that fails.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    # Here, because it loads for a second, which --help and a refused configuration need not wait.
    import pyarrow as pa

    from argus_grpc.server import Server

    # Arrow's own allocator keeps several megabytes for every thread that ever used it.
    pa.set_memory_pool(pa.system_memory_pool())
    wait_for_stop = _on_stop_signals()
    try:
        with Server(config) as server:
            # What has been loaded stays. A collection of garbage would look through it all, 0.2 s in which
            # no other thread runs. Calls that go well leave none, and others little: with Python's own
            # thresholds, looking for it took a fifth of the time of a server with more calls than it could
            # take.
            gc.freeze()
            gc.set_threshold(10_000, 20, 50)
            # The one line on standard output: scripts wait for it and take the address from it.
            click.echo(f"argus-server is listening on {server.address}, {_where_events_are(config)}")
            if dangers := config.dangers():
                warning = f"WARNING: {server.address} is open to other machines: {' and '.join(dangers)}"
                click.secho(warning, fg="red", bold=True, err=True)
            wait_for_stop()
    except BadFile as error:
        raise click.UsageError(str(error)) from None
    except ArgusError as error:
        raise click.ClickException(str(error)) from None


def _where_events_are(config: Config) -> str:
    if config.no_persistence:
        return f"the newest {config.buffer_events:,} events in memory only"
    return f"database {config.db}"


def _on_stop_signals() -> Callable[[], object]:
    """Takes SIGINT and SIGTERM from now on; returns what waits until one has come."""
    # A socket, as asyncio does it: whichever thread a signal reaches, and however early, it leaves a
    # byte there. A handler that set an event could run while this thread holds the event's lock.
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno())
    # The handler has nothing to do, but it keeps the socket open.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: writer)
    return lambda: reader.recv(1)


def _log_to_stderr() -> None:
    on_terminal = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([] if on_terminal else [structlog.processors.format_exc_info]),
            structlog.dev.ConsoleRenderer() if on_terminal else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


if __name__ == "__main__":
    main()
