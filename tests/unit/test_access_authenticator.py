"""Which role callers have, as files change."""

from pathlib import Path

import pytest

from argus_grpc.access import ANONYMOUS, UNRESTRICTED
from argus_grpc.access.authenticator import Authenticator, watched_policy, watched_tokens
from argus_grpc.access.policy import Policy, parse_policy
from argus_grpc.access.tokens_file import Tokens, revoke_tokens
from argus_grpc.access.watching import BadFile, Watched
from argus_grpc.errors import NotAuthenticated, NotPermitted
from tests.identities import bearer, make_token

POLICY = """
[roles.{name}]
rpcs = ["PlanExport"]
sources = ["{source}"]
"""


def look(at: Authenticator | Watched[Tokens]) -> None:
    """What is new is taken at the second look."""
    for _ in range(2):
        at.look()


def test_without_anything_to_know_callers_by_everyone_is_anonymous_and_unrestricted() -> None:
    authenticator = Authenticator()
    # Credentials that nobody asked for say nothing.
    for metadata in ((), bearer("nonsense"), bearer("argus_0123456789abcdef_x")):
        assert authenticator.authenticate(metadata, dict) == ANONYMOUS
    assert authenticator.role_of(ANONYMOUS) is UNRESTRICTED
    assert authenticator.still(ANONYMOUS) is UNRESTRICTED
    assert authenticator.policy.version == "built-in"


def test_a_policy_may_say_what_anonymous_callers_may(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY.format(name="anonymous", source="a"))
    authenticator = Authenticator(watched_policy(path))
    role = authenticator.role_of(ANONYMOUS)
    assert (role.name, role.sources) == ("anonymous", ("a",))
    assert authenticator.still(ANONYMOUS) == role

    path.write_text(POLICY.format(name="anonymous", source="b"))
    look(authenticator)
    assert authenticator.still(ANONYMOUS) != role
    assert authenticator.role_of(ANONYMOUS).sources == ("b",)

    # Whom a policy does not name it does not set free.
    path.write_text(POLICY.format(name="other", source="b"))
    look(authenticator)
    assert authenticator.still(ANONYMOUS) is None
    with pytest.raises(NotPermitted, match="anonymous 'anonymous' has the role 'anonymous', which there is"):
        authenticator.role_of(ANONYMOUS)


def test_anonymous_callers_have_no_role_where_credentials_are_asked_for(tmp_path: Path) -> None:
    path, tokens = tmp_path / "policy.toml", tmp_path / "tokens.json"
    path.write_text(POLICY.format(name="anonymous", source="a"))
    make_token(tokens, "ann", "reader")
    with pytest.raises(NotAuthenticated, match="credentials are missing"):
        Authenticator(watched_policy(path), watched_tokens(tokens)).authenticate((), dict)


def test_a_role_is_what_the_policy_says_now(tmp_path: Path) -> None:
    path, tokens = tmp_path / "policy.toml", tmp_path / "tokens.json"
    path.write_text(POLICY.format(name="planner", source="a"))
    metadata = bearer(make_token(tokens, "ann", "planner"))
    authenticator = Authenticator(watched_policy(path), watched_tokens(tokens))
    principal = authenticator.authenticate(metadata, dict)
    role, version = authenticator.role_of(principal), authenticator.policy.version

    path.write_text("[roles.planner]\nrpcs = 7\n")
    look(authenticator)
    assert (authenticator.still(principal), authenticator.policy.version) == (role, version)

    # Another text of the same meaning interrupts nobody.
    path.write_text(f"# The same.\n{POLICY.format(name='planner', source='a')}")
    look(authenticator)
    assert authenticator.still(principal) == role
    assert authenticator.policy.version != version

    path.write_text(POLICY.format(name="other", source="a"))
    look(authenticator)
    assert authenticator.still(principal) is None
    with pytest.raises(NotPermitted, match="token 'ann' has the role 'planner', which there is not"):
        authenticator.role_of(principal)


def test_a_folder_that_is_swapped_as_a_whole_is_seen(tmp_path: Path) -> None:
    """As Kubernetes mounts secrets: the path is a link through a link, and only the one in the middle
    changes."""
    for version, name in (("1", "ann"), ("2", "bob")):
        (tmp_path / version).mkdir()
        make_token(tmp_path / version / "tokens.json", name, "reader")
    (tmp_path / "data").symlink_to("1")
    (tmp_path / "tokens.json").symlink_to("data/tokens.json")
    watched = watched_tokens(tmp_path / "tokens.json")
    before = watched.value
    (tmp_path / "next").symlink_to("2")
    (tmp_path / "next").replace(tmp_path / "data")
    look(watched)
    assert watched.value is not before


WHOLE = """
[roles.reader]
rpcs = ["StreamEvents"]
redacted_columns = ["thread_name"]
"""


def test_a_policy_that_is_half_written_widens_nothing(tmp_path: Path) -> None:
    path, tokens = tmp_path / "policy.toml", tmp_path / "tokens.json"
    path.write_text(WHOLE)
    metadata = bearer(make_token(tokens, "ann", "reader"))
    authenticator = Authenticator(watched_policy(path), watched_tokens(tokens))
    role = authenticator.role_of(authenticator.authenticate(metadata, dict))
    for part in range(len(WHOLE)):
        path.write_text(WHOLE[:part])
        authenticator.look()
        assert authenticator.policy.role("reader") == role
    for nothing in ("", "\n \n", "# Roles to come.\n"):
        path.write_text(nothing)
        for _ in range(3):
            authenticator.look()
        assert authenticator.policy.role("reader") == role


@pytest.mark.parametrize("content", ["a = " + "1" * 5_000, "a = " + "[" * 100_000, "\udc80"])
def test_a_policy_that_cannot_be_read_is_told_and_keeps_no_revoked_token(
    content: str, tmp_path: Path
) -> None:
    path, tokens = tmp_path / "policy.toml", tmp_path / "tokens.json"
    path.write_text(WHOLE)
    metadata = bearer(make_token(tokens, "ann", "reader"))
    authenticator = Authenticator(watched_policy(path), watched_tokens(tokens))
    principal = authenticator.authenticate(metadata, dict)

    path.write_text(content, errors="surrogateescape")
    revoke_tokens(tokens, "ann")
    look(authenticator)
    assert authenticator.still(principal) is None
    with pytest.raises(BadFile, match="is not TOML"):
        watched_policy(path)


class _Unusable(Watched[Policy]):
    def look(self) -> None:
        raise MemoryError


def test_each_file_is_looked_at_whatever_becomes_of_another(tmp_path: Path) -> None:
    path, tokens = tmp_path / "policy.toml", tmp_path / "tokens.json"
    path.write_text(WHOLE)
    metadata = bearer(make_token(tokens, "ann", "reader"))
    policy = _Unusable([path], lambda content: parse_policy(path, content))
    authenticator = Authenticator(policy, watched_tokens(tokens))
    principal = authenticator.authenticate(metadata, dict)
    revoke_tokens(tokens, "ann")
    look(authenticator)
    assert authenticator.still(principal) is None
