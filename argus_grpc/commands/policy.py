"""argus-server policy: what a policy file comes to, and what is wrong with one."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from argus_grpc.access import ANONYMOUS, UNRESTRICTED, Role
from argus_grpc.access.tokens_file import read_tokens
from argus_grpc.access.watching import BadFile

# The schema takes Arrow, which the other commands need not wait for.
if TYPE_CHECKING:
    from argus_grpc.access.policy import Policy

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group()
def policy() -> None:
    """Check a policy file, and say what it comes to.

    A running server sees within a second what has changed.
    """


@policy.command(short_help="Say whether a policy file can be used.")
@click.option(
    "--policy", "path", type=_FILE, required=True, envvar="ARGUS_POLICY", help="The policy file, TOML."
)
def check(path: Path) -> None:
    """Say whether a policy file can be used; exit code 1, with every mistake and its place, if not."""
    found = _load(path)
    click.echo(f"{path} is in order, version {found.version}")
    click.echo(f"roles: {', '.join(sorted(found.roles))}")
    for subject, role in found.certificates.items():
        click.echo(f"certificates {subject}: {role}")


@policy.command()
@click.option(
    "--policy",
    "path",
    type=_FILE,
    envvar="ARGUS_POLICY",
    help="The policy file, TOML. [default: the roles admin, reader and writer]",
)
@click.option("--role", "role_name", metavar="ROLE", help="A role by its name.")
@click.option(
    "--as",
    "caller",
    metavar="NAME",
    help="A caller: the name of a token in --tokens, the subject of a client certificate, or anonymous.",
)
@click.option("--tokens", type=_FILE, envvar="ARGUS_TOKENS", help="The file of tokens.")
def explain(path: Path | None, role_name: str | None, caller: str | None, tokens: Path | None) -> None:
    """Say in plain words what a role, or a caller, may have."""
    from argus_grpc.access.explain import explain as explain_role

    if (role_name is None) == (caller is None):
        raise click.UsageError("give --role or --as, one of them")
    found = _load(path)
    if caller is not None:
        role, how = _role_of(caller, found, tokens)
        click.echo(f"{caller} has the role {role.name}, {how}")
    else:
        assert role_name is not None
        role = _role(found, role_name)
        click.echo(f"the role {role.name}")
    click.echo(f"  {'Policy':<14}{path or 'none given'}, version {found.version}")
    for subject, told in explain_role(role):
        click.echo(f"  {subject:<14}{told}")


def _load(path: Path | None) -> "Policy":
    from argus_grpc.access.policy import load_policy

    try:
        return load_policy(path)
    except BadFile as error:
        raise click.ClickException(str(error)) from None


def _role(policy: "Policy", name: str) -> Role:
    role = policy.role(name)
    if role is None:
        raise click.ClickException(f"there is no role {name!r}; there are: {', '.join(sorted(policy.roles))}")
    return role


def _role_of(caller: str, policy: "Policy", tokens: Path | None) -> tuple[Role, str]:
    """The role of a caller, and by what it has it."""
    if tokens is not None:
        try:
            entries = read_tokens(tokens)
        except BadFile as error:
            raise click.ClickException(str(error)) from None
        good = [
            entry for entry in entries if entry.name == caller and not entry.has_expired(datetime.now(UTC))
        ]
        if good:
            return _role(policy, good[0].role), f"by the token {good[0].id}"
    if name := policy.certificate_role(caller):
        return _role(policy, name), "by a client certificate with this subject"
    if caller == ANONYMOUS.name:
        role = UNRESTRICTED if policy == _load(None) else _role(policy, caller)
        return role, "where no identity is asked for"
    has_token = f"no token in {tokens} that is good now has this name" if tokens else "no --tokens are given"
    raise click.ClickException(
        f"nobody is known as {caller!r}: {has_token}, and [certificates] in the policy have no role for it"
    )
