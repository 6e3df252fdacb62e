"""The file of tokens: who has one, in what role and until when, without the tokens themselves.

    {"version": 1, "tokens": [{"id": …, "name": …, "role": …, "sha256": …, "createdAt": …, "expiresAt": …}]}

A token is argus_ID_SECRET. The secret has 256 random bits, so a plain SHA-256 of the token is enough: there
is nothing to guess, which slow hashes and salts are against.
"""

import fcntl
import hmac
import json
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)
from pydantic.alias_generators import to_camel

from argus_grpc.access.principal import Principal
from argus_grpc.access.watching import BadFile, read_file
from argus_grpc.errors import NotAuthenticated

PREFIX = "argus_"
EXPIRED = "the token has expired"
REFUSED = "the credentials are not accepted"
"""Never which part of them is wrong: that would help who guesses."""


def _checked_name(text: str) -> str:
    if not (1 <= len(text) <= 200 and text.isprintable() and text == text.strip()):
        raise ValueError("allowed: 1 to 200 printable characters, without a space at either end")
    return text


Name = Annotated[str, AfterValidator(_checked_name)]


class TokenEntry(BaseModel):
    """What the file has of a token. sha256: of the whole token, as hex digits."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
    name: Name
    role: Name
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None

    def has_expired(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now


class _TokensFile(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    version: Literal[1]
    tokens: list[TokenEntry] = Field(default_factory=list)


class Tokens:
    """The tokens of a file, to know callers by."""

    def __init__(self, entries: list[TokenEntry]) -> None:
        self._known = {
            entry.id: (
                bytes.fromhex(entry.sha256),
                Principal(
                    entry.name,
                    "token",
                    entry.role,
                    entry.expires_at.timestamp() if entry.expires_at else None,
                    entry.id,
                ),
            )
            for entry in entries
        }

    def principal(self, token: str) -> Principal:
        """Whose token it is.

        Raises NotAuthenticated.
        """
        id_ = token[len(PREFIX) :].partition("_")[0]
        known = self._known.get(id_)
        if known is None or not hmac.compare_digest(sha256(token.encode()).digest(), known[0]):
            raise NotAuthenticated(REFUSED)
        principal = known[1]
        if principal.has_expired:
            raise NotAuthenticated(EXPIRED)
        return principal

    def by_id(self, id_: str) -> Principal | None:
        """Whose the token of this id is; None if there is none, or no more."""
        known = self._known.get(id_)
        return known[1] if known else None


def parse_tokens(path: Path, content: bytes) -> list[TokenEntry]:
    """The tokens that a file has.

    Raises BadFile, which names every mistake at once.
    """
    try:
        entries = _TokensFile.model_validate_json(content).tokens
    except ValidationError as error:
        raise BadFile("\n".join(f"{path}: {mistake}" for mistake in _mistakes(error))) from None
    ids = [entry.id for entry in entries]
    if len(set(ids)) < len(ids):
        twice = next(id_ for id_ in ids if ids.count(id_) > 1)
        raise BadFile(f"{path}: two tokens have the id {twice}")
    return entries


def _mistakes(error: ValidationError) -> Iterator[str]:
    for mistake in error.errors(include_input=False, include_url=False):
        yield f"{_place(mistake['loc'])}: {mistake['msg'].removeprefix('Value error, ')}"


def _place(location: tuple[int | str, ...]) -> str:
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return place.removeprefix(".") or "the file"


def create_token(path: Path, name: str, role: str, lifetime: timedelta | None) -> tuple[str, TokenEntry]:
    """Adds a token to a file, which is made if there is none; the token, which is kept nowhere, and its
    entry.

    Raises BadFile; ValueError, with a message for people, where name or role do not fit.
    """
    id_ = secrets.token_hex(8)
    token = f"{PREFIX}{id_}_{secrets.token_urlsafe(32)}"
    now = datetime.now(UTC).replace(microsecond=0)
    try:
        entry = TokenEntry(
            id=id_,
            name=name,
            role=role,
            sha256=sha256(token.encode()).hexdigest(),
            created_at=now,
            expires_at=now + lifetime if lifetime else None,
        )
    except ValidationError as error:
        raise ValueError("\n".join(_mistakes(error))) from None
    with _locked(path):
        entries = read_tokens(path) if path.exists() else []
        for other in entries:
            if other.name == name and other.role != role and not other.has_expired(now):
                raise ValueError(
                    f"{name!r} has the role {other.role!r} by the token {other.id}; revoke that first"
                )
        _write(path, [*entries, entry])
    return token, entry


def revoke_tokens(path: Path, name_or_id: str) -> list[TokenEntry]:
    """Removes the token with an id, or all with a name, from a file; what was removed, which may be nothing.

    Raises BadFile.
    """
    with _locked(path):
        entries = read_tokens(path)
        revoked = [entry for entry in entries if name_or_id in (entry.id, entry.name)]
        if revoked:
            _write(path, [entry for entry in entries if entry not in revoked])
    return revoked


def read_tokens(path: Path) -> list[TokenEntry]:
    """Raises BadFile."""
    return parse_tokens(path, read_file(path))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Alone with the file. The lock is a file of its own, since the one that it is about is replaced."""
    try:
        descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise BadFile(f"{path}.lock: cannot be opened: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, entries: list[TokenEntry]) -> None:
    """Replaces the file as a whole; a new one can be read by its owner alone."""
    content = {"version": 1, "tokens": [entry.model_dump(mode="json", by_alias=True) for entry in entries]}
    # Behind a link is the file that is meant, and a rename would replace the link.
    path = path.resolve()
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                json.dump(content, file, indent=1)
                file.write("\n")
                file.flush()
                if path.exists():
                    _be_owned_as(path, file.fileno())
                os.fsync(file.fileno())
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink()
                raise
        _sync_folder(path.parent)
    except OSError as error:
        raise BadFile(f"{path}: cannot be written: {error.strerror}") from None


def _be_owned_as(path: Path, descriptor: int) -> None:
    """Whoever could read the old file can read the new one: the server may run as another user."""
    old = path.stat()
    if (old.st_uid, old.st_gid) != (os.getuid(), os.getgid()):
        os.fchown(descriptor, old.st_uid, old.st_gid)
    os.fchmod(descriptor, old.st_mode & 0o777)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
