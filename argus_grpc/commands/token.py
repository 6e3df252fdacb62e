"""argus-server token: the tokens that people and programs call with."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from argus_grpc.access.tokens_file import TokenEntry, create_token, read_tokens, revoke_tokens
from argus_grpc.access.watching import BadFile
from argus_grpc.durations import parse_duration

_TOKENS = click.option(
    "--tokens",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    envvar="ARGUS_TOKENS",
    help="The file of tokens, as the server's --tokens names it.",
)


@click.group()
def token() -> None:
    """Make, list and revoke the tokens that callers are known by.

    A running server sees within a second what has changed.
    """


@token.command()
@_TOKENS
@click.option("--name", required=True, help="Who calls with it; a name may have several tokens.")
@click.option("--role", required=True, help="A role of the policy, or admin, reader or writer.")
@click.option("--expires", metavar="TIME", help="How long it is good for: 12h, 90d, 52w. [default: for ever]")
def create(path: Path, name: str, role: str, expires: str | None) -> None:
    """Make a token and print it, this once: the file has only its hash."""
    try:
        secret, entry = create_token(path, name, role, _lifetime(expires))
    except BadFile as error:
        raise click.ClickException(str(error)) from None
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    click.echo(
        f"{entry.name} has the token {entry.id}, role {entry.role}, {_until(entry)}. It is shown only now:",
        err=True,
    )
    click.echo(secret)


@token.command("list")
@_TOKENS
def list_(path: Path) -> None:
    """List the tokens, the oldest first."""
    rows = [("ID", "NAME", "ROLE", "CREATED", "EXPIRES")]
    for entry in sorted(_read(path), key=lambda entry: entry.created_at):
        rows.append((entry.id, entry.name, entry.role, _day(entry.created_at), _expiry(entry)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@token.command()
@_TOKENS
@click.argument("name_or_id")
def revoke(path: Path, name_or_id: str) -> None:
    """Revoke the token with an id, or all tokens of a name."""
    try:
        revoked = revoke_tokens(path, name_or_id)
    except BadFile as error:
        raise click.ClickException(str(error)) from None
    if not revoked:
        raise click.ClickException(f"{path} has no token with the name or id {name_or_id!r}")
    for entry in revoked:
        click.echo(f"revoked the token {entry.id} of {entry.name}", err=True)


def _read(path: Path) -> list[TokenEntry]:
    try:
        return read_tokens(path)
    except BadFile as error:
        raise click.ClickException(str(error)) from None


def _lifetime(expires: str | None) -> timedelta | None:
    if expires is None:
        return None
    try:
        return parse_duration(expires)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--expires") from None


def _until(entry: TokenEntry) -> str:
    return f"good until {_day(entry.expires_at)}" if entry.expires_at else "without an end"


def _expiry(entry: TokenEntry) -> str:
    if entry.expires_at is None:
        return "never"
    day = _day(entry.expires_at)
    return f"{day}, over" if entry.has_expired(datetime.now(UTC)) else day


def _day(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
