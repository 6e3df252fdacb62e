"""The file of tokens: what is made, kept and taken out, whoever does it at the same time."""

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from argus_grpc.access.tokens_file import (
    Tokens,
    create_token,
    parse_tokens,
    read_tokens,
    revoke_tokens,
)
from argus_grpc.access.watching import BadFile, Watched
from argus_grpc.errors import NotAuthenticated


def test_what_is_kept_is_the_hash_of_the_whole_token(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    token, entry = create_token(path, "ann", "reader", timedelta(days=90))
    (kept,) = json.loads(path.read_text())["tokens"]
    assert kept["sha256"] == sha256(token.encode()).hexdigest()
    assert (kept["id"], kept["name"], kept["role"]) == (entry.id, "ann", "reader")
    assert entry.expires_at is not None
    assert entry.expires_at - entry.created_at == timedelta(days=90)
    principal = Tokens(read_tokens(path)).principal(token)
    assert (principal.name, principal.kind, principal.role) == ("ann", "token", "reader")
    assert principal.expires_s == entry.expires_at.timestamp()


def make_some(path: Path, name: str) -> list[str]:
    return [create_token(path, name, "reader", None)[1].id for _ in range(10)]


def test_tokens_that_are_made_at_once_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    # Each opens the lock for itself, as processes do.
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(make_some, [path] * 4, "abcd"))
    assert {entry.id for entry in read_tokens(path)} == {id_ for ids in made for id_ in ids}
    assert len(read_tokens(path)) == 40


def test_a_name_has_one_role_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    create_token(path, "ann", "reader", None)
    create_token(path, "ann", "reader", None)
    with pytest.raises(ValueError, match="'ann' has the role 'reader'"):
        create_token(path, "ann", "writer", None)
    assert len(revoke_tokens(path, "ann")) == 2
    create_token(path, "ann", "writer", None)


def test_the_rights_to_the_file_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    create_token(path, "ann", "reader", None)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)
    if os.getuid() == 0:
        os.chown(path, 12345, 54321)
    before = path.stat()
    create_token(path, "bob", "reader", None)
    after = path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino


def test_a_link_goes_on_pointing_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "tokens.json"
    link.symlink_to(tmp_path / "real" / "tokens.json")
    create_token(link, "ann", "reader", None)
    create_token(link, "bob", "reader", None)
    assert link.is_symlink()
    assert [entry.name for entry in read_tokens(tmp_path / "real" / "tokens.json")] == ["ann", "bob"]


ENTRY = {
    "id": "0123456789abcdef",
    "name": "ann",
    "role": "reader",
    "sha256": "ab" * 32,
    "createdAt": "2026-01-01T00:00:00Z",
    "expiresAt": None,
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"id": "short"}, "tokens[0].id: String should match"),
        ({"id": "0123456789abcdef\n"}, "tokens[0].id: String should match"),
        ({"name": " ann"}, "tokens[0].name: allowed: 1 to 200 printable characters"),
        ({"name": "an\nn"}, "tokens[0].name: allowed: 1 to 200 printable characters"),
        ({"role": ""}, "tokens[0].role: allowed"),
        ({"sha256": "AB" * 32}, "tokens[0].sha256: String should match"),
        ({"createdAt": "2026-01-01"}, "tokens[0].createdAt: Input should"),
        ({"expiresAt": "2026-01-01T00:00:00"}, "tokens[0].expiresAt: Input should have timezone info"),
        ({"secret": "sesame"}, "tokens[0].secret: Extra inputs are not permitted"),
    ],
)
def test_what_does_not_fit_is_named_and_not_shown(change: dict[str, object], said: str) -> None:
    content = json.dumps({"version": 1, "tokens": [{**ENTRY, **change}]}).encode()
    with pytest.raises(BadFile) as refusal:
        parse_tokens(Path("tokens.json"), content)
    assert f"tokens.json: {said}" in str(refusal.value)
    assert "sesame" not in str(refusal.value)
    assert "ab" * 32 not in str(refusal.value).lower()


def test_an_id_that_is_there_twice_is_refused() -> None:
    content = json.dumps({"version": 1, "tokens": [ENTRY, {**ENTRY, "name": "bob"}]}).encode()
    with pytest.raises(BadFile, match="two tokens have the id 0123456789abcdef"):
        parse_tokens(Path("tokens.json"), content)


def test_a_version_is_taken_by_what_it_says_and_not_by_its_time(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("1")
    times = path.stat()
    watched = Watched([path], int)
    path.write_text("2")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    watched.look()
    assert watched.value == 1
    watched.look()
    assert watched.value == 2
    # What changes between looks is still being written.
    for text in ("3", "34", "345"):
        path.write_text(text)
        watched.look()
        assert watched.value == 2
    watched.look()
    assert watched.value == 345


def test_tokens_of_no_one_are_refused() -> None:
    tokens = Tokens([])
    for text in ("argus_", "argus_0123456789abcdef_x", "argus__", "argus_é_"):
        with pytest.raises(NotAuthenticated):
            tokens.principal(text)
