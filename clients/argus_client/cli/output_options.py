"""The options that say where to and how an export is written, and the writing."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, BinaryIO, cast

import click

from argus_client.cli.options import option
from argus_client.cli.progress import export_progress
from argus_client.cli.terminal import TerminalOutput, echo
from argus_client.cli.words import tell_bytes, tell_rows
from argus_client.compression import Compression
from argus_client.export import Export
from argus_client.files import read_ending
from argus_client.formats import BINARY_FORMATS, FORMATS, RenderOptions, make_renderer
from argus_client.rendering import DEFAULT_FORMAT, FileForm
from argus_client.since import SinceLast
from argus_client.times import format_duration
from argus_client.writing import Written, write_export

EXIT_TRUNCATED = 3
EXIT_CODES = """Exit codes:
  0 whole, 1 failed, 2 wrong use, 3 whole but cut by --limit, 4 not allowed,
  130 interrupted, 141 standard output was closed by its reader
"""
"""What the commands that write an export end with."""

WHERE = "Where to"

_STDOUT = Path("-")
_HOW = "How it is written"

_OPTIONS = (
    option(
        "-o",
        "--output",
        type=click.Path(path_type=Path),
        metavar="FILE",
        default=_STDOUT,
        heading=WHERE,
        help="The file to write; - is standard output.  [default: -]",
    ),
    option(
        "--overwrite",
        is_flag=True,
        heading=WHERE,
        help="Replace FILE if it is there. It stays as it is until the export is whole.",
    ),
    option(
        "--resume",
        is_flag=True,
        heading=WHERE,
        help="Go on with FILE where the same command was interrupted. A window of --last stays what it was.",
    ),
    option(
        "--format",
        type=click.Choice(FORMATS, case_sensitive=False),
        heading=_HOW,
        help="csv, json (one document), jsonl (a document a line), parquet or arrow (an IPC file).  "
        "[default: by FILE's ending, else csv]",
        metavar="FORMAT",
    ),
    option(
        "--compress",
        type=click.Choice(("none", "gzip", "zstd"), case_sensitive=False),
        heading=_HOW,
        help="csv, json and jsonl: gzip, zstd or none. parquet is compressed inside.  [default: by FILE's "
        "ending .gz or .zst, else none]",
        metavar="METHOD",
    ),
    option(
        "--metadata",
        is_flag=True,
        heading=_HOW,
        help="csv and jsonl: begin with what the export is (# lines, a _metadata line). The others always "
        "have it.",
    ),
    option(
        "--header",
        type=click.Choice(("names", "titles"), case_sensitive=False),
        default="names",
        show_default=True,
        metavar="STYLE",
        heading=_HOW,
        help='csv: column names, or titles such as "Duration (ns)".',
    ),
    option(
        "--time-precision",
        type=click.Choice(("auto", "s", "ms", "us", "ns"), case_sensitive=False),
        default="auto",
        show_default=True,
        metavar="UNIT",
        heading=_HOW,
        help="csv, json and jsonl: how fine timestamps are: s, ms, us or ns; auto is as fine as each needs.",
    ),
    option(
        "--excel",
        is_flag=True,
        heading=_HOW,
        help="csv: made for Excel: byte order mark, CRLF, and a ' before text that it would run as a "
        "formula.",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Output:
    """Where to and how an export is written.

    path: the file; None: standard output.
    """

    path: Path | None
    form: FileForm
    overwrite: bool
    resume: bool

    def write(self, export: Export, last_ns: int | None, ledger: SinceLast | None = None) -> Written:
        """Writes the export, and shows how far it has come.

        last_ns: what --last said, if it did.
        """
        # A bar would run through the data where both go to one terminal.
        is_hidden = self.path is None and sys.stdout.isatty()
        with export_progress(str(self.path or _STDOUT), hidden=is_hidden, row_name=export.row_name) as show:
            return write_export(
                export,
                self.path or _stdout(),
                format=self.form.format,
                options=self.form.options,
                compression=self.form.compression,
                overwrite=self.overwrite,
                resume=self.resume,
                last=format_duration(last_ns) if last_ns is not None else None,
                ledger=ledger,
                on_progress=lambda rows: show(rows, None if export.is_live else export.total_rows),
                on_notice=tell,
            )

    def end(self, context: click.Context, written: Written, row_name: str) -> None:
        """Tells what was written, and ends the command with its exit code."""
        tell(_report(written, self.path, row_name))
        if written.is_truncated:
            context.exit(EXIT_TRUNCATED)


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the options that say where to and how; it gets them as the argument `output`."""

    @wraps(command)
    def with_output(
        *,
        output: Path,
        overwrite: bool,
        resume: bool,
        format: str | None,
        compress: Compression | None,
        metadata: bool,
        header: Any,
        time_precision: Any,
        excel: bool,
        **others: Any,
    ) -> Any:
        format_of_name, compression_of_name = read_ending(output)
        form = _form(
            format or format_of_name or DEFAULT_FORMAT,
            compress or compression_of_name,
            {"metadata": metadata, "header": header, "time_precision": time_precision, "excel": excel},
        )
        to_stdout = output == _STDOUT
        if to_stdout and form.format in BINARY_FORMATS and sys.stdout.isatty():
            raise click.UsageError(
                f"{form.format} is nothing for a terminal; name a file (--output FILE), or pipe it"
            )
        if to_stdout and form.compression != "none" and sys.stdout.isatty():
            raise click.UsageError(
                "--compress is nothing for a terminal; name a file (--output FILE), or pipe it"
            )
        if resume and to_stdout:
            raise click.UsageError("--resume needs a file to go on with: --output FILE")
        path = None if to_stdout else output
        return command(output=Output(path=path, form=form, overwrite=overwrite, resume=resume), **others)

    for decorate in reversed(_OPTIONS):
        with_output = decorate(with_output)
    return with_output


def _stdout() -> BinaryIO:
    if sys.stdout.isatty():
        return cast(BinaryIO, TerminalOutput(sys.stdout.buffer))
    return sys.stdout.buffer


def tell(text: str) -> None:
    """On standard error, where all that is not data goes."""
    echo(text, err=True)


def _form(format: str, compression: Compression, options: dict[str, Any]) -> FileForm:
    try:
        form = FileForm(format, compression, RenderOptions(**options))
        # Made to be asked: what a format does not have is refused before any call.
        make_renderer(format, form.options)
    except ValueError as error:
        name, _, what = str(error).partition(":")
        raise click.UsageError(f"--{name.replace('_', '-')}:{what}") from None
    return form


def _report(written: Written, path: Path | None, row_name: str) -> str:
    """What was written, for people; to a path, or to standard output."""
    parts = [tell_rows(written.events, row_name), tell_bytes(written.size_bytes)]
    if path is not None:
        parts.append(str(path))
    if written.guarded_cells:
        cells = "1 cell" if written.guarded_cells == 1 else f"{written.guarded_cells:,} cells"
        parts.append(f"a ' put before {cells} that Excel would run as a formula")
    if written.is_truncated:
        parts.append(f"cut by --limit: {written.summary.rows_remaining:,} more match")
    return ", ".join(parts)
