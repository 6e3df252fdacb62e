"""What a policy file says, and everything that is wrong with one, each with its place."""

from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from argus_grpc.access import Role, RoleLimits
from argus_grpc.access.policy import EXPORT_RPCS, InvalidPolicy, Policy, load_policy
from argus_grpc.access.role import MAX_SOURCE_PREFIXES
from argus_grpc.access.tokens_file import create_token
from argus_grpc.access.watching import BadFile
from argus_grpc.main import main
from argus_grpc.v1.event_pb2 import EventType

EXAMPLE = Path(__file__).parents[2] / "examples" / "policy.toml"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "policy.toml"


def load(path: Path, text: str) -> Policy:
    path.write_text(text)
    return load_policy(path)


def test_the_example_says_what_its_comments_say() -> None:
    policy = load_policy(EXAMPLE)
    assert policy.role("analyst") == Role(
        "analyst",
        rpcs=frozenset(EXPORT_RPCS),
        sources=("prod-*", "staging-1"),
        event_types=frozenset(
            {
                EventType.EVENT_TYPE_VIRTUAL_THREAD_START,
                EventType.EVENT_TYPE_VIRTUAL_THREAD_END,
                EventType.EVENT_TYPE_VIRTUAL_THREAD_PINNED,
                EventType.EVENT_TYPE_GC_PAUSE,
                EventType.EVENT_TYPE_GC_HEAP_SUMMARY,
                EventType.EVENT_TYPE_CPU_LOAD,
            }
        ),
        forbidden_columns=frozenset({"exception_message"}),
        redacted_columns=frozenset({"thread_name", "stack_trace"}),
        max_age=timedelta(days=7),
        limits=RoleLimits(600, 4, 50_000_000),
    )
    assert policy.role("agent") == Role("agent", rpcs=frozenset({"IngestEvents"}), sources=("orders@*",))
    assert policy.certificate_role("CN=agent-7,O=acme") == "agent"
    assert policy.certificate_role("CN=backup-1,O=acme") == "reader"


def test_without_a_file_there_are_three_roles() -> None:
    policy = load_policy(None)
    assert {name: role.rpcs for name, role in policy.roles.items()} == {
        "admin": None,
        "reader": frozenset(EXPORT_RPCS),
        "writer": frozenset({"IngestEvents"}),
    }
    assert policy.version == "built-in"


def test_a_file_adds_roles_and_may_define_the_built_in_ones_anew(path: Path) -> None:
    policy = load(path, '[roles.reader]\nrpcs = ["PlanExport"]\n[roles.other]\nrpcs = "all"\n')
    assert {*policy.roles} == {"admin", "reader", "writer", "other"}
    assert policy.roles["reader"].rpcs == frozenset({"PlanExport"})
    assert policy.roles["other"].rpcs is None


def test_the_version_names_the_text(path: Path) -> None:
    text = '[roles.r]\nrpcs = "all"'
    first, again = load(path, text), load(path, text)
    assert first.version == again.version == "20a86536edc7"
    assert load(path, f"{text}\n").version != first.version


@pytest.mark.parametrize(
    "name", ["pinned", "PINNED", "virtual_thread_pinned", "EVENT_TYPE_VIRTUAL_THREAD_PINNED"]
)
def test_event_types_have_long_and_short_names_in_any_case(path: Path, name: str) -> None:
    policy = load(path, f'[roles.r]\nrpcs = "all"\nevent_types = ["{name}"]\n')
    assert policy.roles["r"].event_types == frozenset({EventType.EVENT_TYPE_VIRTUAL_THREAD_PINNED})


@pytest.mark.parametrize("said", ['"all"', '["*"]', '["*", "a"]'])
def test_all_sources_are_no_restriction(path: Path, said: str) -> None:
    assert load(path, f'[roles.r]\nrpcs = "all"\nsources = {said}\n').roles["r"].sources is None


def test_the_longest_beginning_of_a_subject_holds_but_its_full_name_goes_before(path: Path) -> None:
    policy = load(
        path,
        """
        [certificates]
        "*" = "reader"
        "CN=a*" = "writer"
        "CN=agent*" = "admin"
        "CN=agent-7" = "reader"
        """,
    )
    subjects = {"CN=agent-7": "reader", "CN=agent-70": "admin", "CN=a": "writer", "CN=b": "reader"}
    assert {subject: policy.certificate_role(subject) for subject in subjects} == subjects
    # A subject that ends with * is not the pattern of that text.
    assert policy.certificate_role("CN=a*") == "writer"


def test_every_mistake_is_named_at_once_with_its_place(path: Path) -> None:
    with pytest.raises(InvalidPolicy) as refusal:
        load(
            path,
            """
            colour = 1
            [roles.analyst]
            rpcs = ["StreamEvents", "Streamz"]
            sources = ["prod-*", "a*b", ""]
            event_types = ["pinned", "x"]
            forbidden_columns = ["sequence", "nope"]
            max_age = "7 days"
            limits.rows_per_hour = 0
            limits.rows = 1
            [roles."b c"]
            rpcs = "some"
            [roles.c]
            sources = []
            forbidden_columns = ["thread_name"]
            redacted_columns = ["thread_name"]
            [roles]
            d = 3
            [certificates]
            "CN=a" = "nobody"
            """,
        )
    said = {
        "roles.analyst.rpcs[1]": "allowed: ListColumns, PlanExport, StreamEvents, StreamAggregates, "
        "IngestEvents, not 'Streamz'",
        "roles.analyst.sources[1]": "a * at the end, not 'a*b'",
        "roles.analyst.sources[2]": "not ''",
        "roles.analyst.event_types[1]": "SUBMIT_FAILED",
        "roles.analyst.forbidden_columns[0]": "order and resume tokens are made of it",
        "roles.analyst.forbidden_columns[1]": "allowed: event_type, source, thread_id",
        "roles.analyst.max_age": "such as 7d",
        "roles.analyst.limits.rows_per_hour": "greater than or equal to 1, not 0",
        "roles.analyst.limits.rows": "no such key; allowed: requests_per_minute, concurrent_exports, ",
        "roles.b c": "letters, digits",
        "roles.b c.rpcs": "\"all\" or a list is allowed, not 'some'",
        "roles.c.rpcs": "must be said",
        "roles.c.sources": "at least 1 item",
        "roles.c.redacted_columns": "thread_name: in forbidden_columns already",
        "roles.d": "a table is allowed, not 3",
        "certificates.CN=a": "no such role; allowed: admin, analyst, b c, c, d, reader, writer, not 'nobody'",
        "colour": "no such key; allowed: roles, certificates",
    }
    mistakes = dict(mistake.split(": ", 1) for mistake in refusal.value.mistakes)
    assert {*mistakes} == {*said}
    assert {place: text for place, text in said.items() if text not in mistakes[place]} == {}
    assert str(refusal.value).splitlines()[0].startswith(f"{path}: roles.analyst.rpcs[1]: ")


def test_a_role_names_only_so_many_beginnings_of_sources(path: Path) -> None:
    sources = [f"a{place}*" for place in range(MAX_SOURCE_PREFIXES + 1)]
    with pytest.raises(InvalidPolicy, match=r"roles.r.sources: 101 end with \*; at most 100 may"):
        load(path, f'[roles.r]\nrpcs = "all"\nsources = {sources}\n')
    load(path, f'[roles.r]\nrpcs = "all"\nsources = {sources[1:]}\n')


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[roles", "is not TOML: "),
        (b"\xff", "is not TOML: "),
        (b"# Soon.\n", "is empty: "),
        (None, "cannot be read: No such"),
    ],
)
def test_what_is_not_toml_is_told(path: Path, content: bytes | None, said: str) -> None:
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadFile, match=f"{path}: {said}"):
        load_policy(path)


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["policy", *map(str, arguments)])
    return result.exit_code, result.output


def test_explain_says_what_a_role_comes_to() -> None:
    version = load_policy(EXAMPLE).version
    assert run("explain", "--policy", EXAMPLE, "--role", "analyst") == (
        0,
        f"""the role analyst
  Policy        {EXAMPLE}, version {version}
  May call      ListColumns, PlanExport, StreamEvents, StreamAggregates; not IngestEvents
  Sources       all that begin with prod-, staging-1
  Event types   VIRTUAL_THREAD_START, VIRTUAL_THREAD_END, VIRTUAL_THREAD_PINNED, GC_PAUSE, GC_HEAP_SUMMARY, \
CPU_LOAD
  Columns       without exception_message; thread_name, stack_trace as NULL, listed as redacted; no filters, \
keys and measures over these
  Back in time  1w before each call, by the events' timestamps
  Limits        for each caller 600 requests a minute, 4 exports at once, 50,000,000 rows an hour
""",
    )


def test_explain_knows_callers_by_their_tokens_and_certificates(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.json"
    create_token(tokens, "alice", "analyst", None)
    create_token(tokens, "carol", "nothing", None)
    create_token(tokens, "dave", "analyst", timedelta(seconds=-1))
    of_file = ("explain", "--policy", EXAMPLE, "--tokens", tokens, "--as")
    code, said = run(*of_file, "alice")
    assert code == 0
    assert said.startswith("alice has the role analyst, by the token ")
    code, said = run(*of_file, "CN=agent-7,O=acme")
    assert (code, said.splitlines()[0]) == (
        0,
        "CN=agent-7,O=acme has the role agent, by a client certificate with this subject",
    )
    code, said = run(*of_file, "carol")
    assert code == 1
    assert "there is no role 'nothing'; there are: admin, agent, analyst, anonymous, reader, writer" in said
    for nobody in ("bob", "dave"):
        code, said = run(*of_file, nobody)
        assert code == 1
        assert f"nobody is known as '{nobody}'" in said


def test_check_names_every_mistake(path: Path) -> None:
    path.write_text("colour = 1\n[roles.r]\n")
    code, said = run("check", "--policy", path)
    assert code == 1
    assert f"{path}: colour: no such key" in said
    assert f"{path}: roles.r.rpcs: must be said" in said
    code, said = run("check", "--policy", EXAMPLE)
    assert code == 0
    assert said.startswith(f"{EXAMPLE} is in order, version ")
