"""argus-dashboard: a page on the events of an Argus server, and their export over plain HTTP."""

import logging
import os
import socket
import sys
from importlib.metadata import version
from typing import Any

import click

try:
    import structlog
    import uvicorn  # noqa: F401 - what is missing is told here
    from pydantic import ValidationError

    from argus_dashboard.config import Config, split_address
except ModuleNotFoundError as error:
    sys.exit(
        f"argus-dashboard needs more than the client does ({error}): pip install 'argus-export[dashboard]'"
    )

_SERVER_VARIABLE = "ARGUS_SERVER"


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"argus-dashboard {version('argus-export')}")
        context.exit()


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--server", metavar="HOST:PORT", help="The Argus server. [default: localhost:50051]")
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help="Where to listen; port 0 takes a free one. [default: 127.0.0.1:8080]",
)
@click.option(
    "--tls-cert",
    metavar="FILE",
    help="Serve HTTPS with this certificate and its chain, PEM. A new one is taken as it comes.",
)
@click.option("--tls-key", metavar="FILE", help="Its private key, PEM.")
@click.option(
    "--insecure",
    is_flag=True,
    default=None,
    help="Listen beyond this machine without TLS, or before a server that asks nobody who they are.",
)
@click.option(
    "--server-tls",
    is_flag=True,
    default=None,
    help="Speak TLS with the server also on this machine. [default: only with others]",
)
@click.option(
    "--server-tls-ca",
    metavar="FILE",
    help="The authorities that the server's certificate may be from, PEM. [default: the system's]",
)
@click.option(
    "--server-tls-cert",
    metavar="FILE",
    help="The dashboard's certificate for a server that asks for one, PEM. What people see goes by their own"
    " tokens all the same.",
)
@click.option("--server-tls-key", metavar="FILE", help="Its private key, PEM.")
@click.option(
    "--server-insecure",
    is_flag=True,
    default=None,
    help="Speak plaintext with a server on another machine: whoever is on the way reads events and tokens.",
)
@click.option(
    "--allow-host",
    "allow_hosts",
    metavar="NAME",
    multiple=True,
    help="A name that the dashboard is called by, as browsers send it; repeat it for several. "
    "[default: this machine's own names where it listens on loopback, else any]",
)
@click.option(
    "--max-downloads", type=int, metavar="N", help="How many downloads may run at once. [default: 16]"
)
@click.option(
    "--max-follows",
    type=int,
    metavar="N",
    help="How many pages may be shown new events at once. [default: 32]",
)
@click.option(
    "--retry-for-s",
    type=float,
    metavar="SECONDS",
    help="How long a download waits for a server that went away, before it is broken off. [default: 10]",
)
@click.option(
    "--request-timeout-s",
    type=float,
    metavar="SECONDS",
    help="How long a request's head may take to come, and a form after it. [default: 10]",
)
@click.option(
    "--stall-timeout-s",
    type=float,
    metavar="SECONDS",
    help="How long a download waits for a reader that takes nothing. [default: 300]",
)
@click.option(
    "--shutdown-grace-s",
    type=float,
    metavar="SECONDS",
    help="How long running downloads may take to end at a stop. [default: 10]",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Say the version.",
)
def main(**flags: Any) -> None:
    """Shows the events of an Argus server on a web page, and exports them over plain HTTP.

    Every setting can also come from the environment: ARGUS_SERVER, and ARGUS_DASHBOARD_LISTEN,
    ARGUS_DASHBOARD_MAX_DOWNLOADS and so on. A flag goes before the environment.
    """
    _log_to_stderr()
    _serve(_load({name: value for name, value in flags.items() if value not in (None, ())}))


def _serve(config: Config) -> None:
    # Here, because it loads for a second, which --help and a refused configuration need not wait.
    from argus_dashboard.serving import serve

    host, port = split_address(config.listen)
    try:
        listener = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=1024
        )
    except OSError as error:
        raise click.ClickException(f"cannot listen on {config.listen}: {error.strerror}") from None
    shown_host = f"[{host}]" if ":" in host else host
    scheme = "http" if config.tls_cert is None else "https"
    address = f"{scheme}://{shown_host}:{listener.getsockname()[1]}"
    for warning in config.warnings:
        click.echo(f"argus-dashboard: warning: {warning}", err=True)
    # The one line on standard output: scripts wait for it and take the address from it.
    serve(
        config,
        listener,
        on_ready=lambda: click.echo(f"argus-dashboard is listening on {address}, server {config.server}"),
    )


def _load(flags: dict[str, Any]) -> Config:
    """Raises click.UsageError, which names every mistake at once."""
    try:
        return Config(**flags)
    except ValidationError as error:
        mistakes = _mistakes(error, flags)
        bad = {_setting(mistake["loc"][0]) for mistake in error.errors() if mistake["loc"]}
    # What goes together is looked at only where each setting fits: so once more, without those that do not.
    defaults = {name: Config.model_fields[name].default for name in bad if name in Config.model_fields}
    try:
        Config(**(flags | defaults))
    except ValidationError as error:
        mistakes += [mistake for mistake in _mistakes(error, flags) if mistake not in mistakes]
    if len(mistakes) == 1:
        raise click.UsageError(mistakes[0])
    raise click.UsageError("\n  ".join([f"{len(mistakes)} settings do not fit:", *mistakes]))


def _mistakes(error: "ValidationError", flags: dict[str, Any]) -> list[str]:
    lines = []
    for mistake in error.errors():
        message = mistake["msg"].removeprefix("Value error, ")
        if mistake["loc"]:
            name = _setting(mistake["loc"][0])
            lines.append(f"{_shown(name, flags)}: {message}, not {mistake['input']!r}")
            continue
        for line in message.splitlines():
            name, colon, description = line.partition(": ")
            lines.append(f"{_shown(name, flags)}{colon}{description}")
    return lines


def _setting(place: int | str) -> str:
    return "server" if place == _SERVER_VARIABLE else str(place)


def _shown(name: str, flags: dict[str, Any]) -> str:
    """A setting as it was given."""
    variable = _SERVER_VARIABLE if name == "server" else f"ARGUS_DASHBOARD_{name.upper()}"
    if name not in flags and variable in os.environ:
        return variable
    # A flag that can be repeated is named for one.
    return f"--{name.removesuffix('s') if name == 'allow_hosts' else name}".replace("_", "-")


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
    main(prog_name="argus-dashboard")
