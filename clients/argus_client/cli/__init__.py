"""The command line, `argus-client`: one module a command."""

import os
import signal
import sys
import traceback
from importlib import import_module
from typing import Any, NoReturn

import click

from argus_client.cli.query_options import FLAGS
from argus_client.cli.terminal import echo
from argus_client.errors import ArgusClientError, EventsMissed, InvalidRequest, NotAllowed
from argus_client.query import tell_violations

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NOT_ALLOWED = 4
EXIT_INTERRUPTED = 130
# As a shell reports a filter that SIGPIPE ended. Not 0, which says that the export is whole.
EXIT_PIPE_CLOSED = 141

_EPILOG = """\b
Every option can also come from the environment: --server from ARGUS_SERVER,
--min-duration from ARGUS_MIN_DURATION, and so on. The command line goes first.
"""


# Each is X_command of the module X, which is imported when it is asked for: all take twice as long.
_COMMANDS = ("aggregate", "collect", "columns", "export", "ingest", "plan", "verify")


class _Commands(click.Group):
    """Commands whose errors reach the user as a sentence and an exit code, never as a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - they are always the same
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"argus_client.cli.{cmd_name}"), f"{cmd_name}_command")
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            # Here, where what goes wrong with it can still be told.
            sys.stdout.flush()
        except BrokenPipeError:
            _give_up_stdout()
            ctx.exit(EXIT_PIPE_CLOSED)
        except KeyboardInterrupt as error:
            _fail(ctx, EXIT_INTERRUPTED, "interrupted", error)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except InvalidRequest as error:
            told = tell_violations(error.violations, FLAGS)
            _fail(ctx, EXIT_USAGE, "\n".join(told) or str(error), error)
        except EventsMissed as error:
            told = tell_violations(error.violations, FLAGS)
            _fail(ctx, EXIT_FAILED, "\n".join(told) or str(error), error)
        except NotAllowed as error:
            told = tell_violations(error.violations, FLAGS)
            _fail(ctx, EXIT_NOT_ALLOWED, "\n".join(told) or str(error), error)
        except ArgusClientError as error:
            _fail(ctx, EXIT_FAILED, str(error), error)
        except OSError as error:
            _fail(ctx, EXIT_FAILED, error.strerror or str(error), error)
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            _fail(
                ctx,
                EXIT_FAILED,
                f"internal error ({what}). Please report it, with what ARGUS_DEBUG=1 shows of it",
                error,
            )
        return result


def _fail(ctx: click.Context, code: int, message: str, error: BaseException) -> NoReturn:
    if os.environ.get("ARGUS_DEBUG"):
        traceback.print_exc()
    echo(f"Error: {message}", err=True)
    for note in getattr(error, "__notes__", ()):
        echo(note, err=True)
    try:
        sys.stdout.flush()
    except OSError:
        _give_up_stdout()
    ctx.exit(code)


def _give_up_stdout() -> None:
    """What is still in its buffer goes nowhere, or the interpreter would fail on it as it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


@click.group(
    cls=_Commands,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="argus-export", prog_name="argus-client", message="%(prog)s %(version)s")
def commands() -> None:
    """Put JVM events into an Argus server, and take them out as CSV, JSON or JSON Lines, or grouped."""


def main() -> None:
    """The entry point."""
    # A polite kill is told of as Ctrl-C is: what was interrupted, and how to go on with it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    commands(prog_name="argus-client")
