"""The options that say which events, and the words for what the server finds wrong with them."""

import time
from collections.abc import Callable, Mapping
from functools import wraps
from types import MappingProxyType
from typing import Any

import click

from argus_client.cli.options import Parsed, comma_list, option, whole_number
from argus_client.query import EVENT_TYPE_CODES, EventQuery, checked_by, parse_event_type, parse_source_prefix
from argus_client.times import parse_duration_ns, parse_instant_ns

FLAGS: Mapping[str, str] = MappingProxyType(
    {
        "query.start_time": "--from",
        "query.end_time": "--to",
        "query.event_types": "--type",
        "query.sources": "--source",
        "query.source_prefixes": "--source",
        "query.thread_ids": "--thread-id",
        "query.carrier_threads": "--carrier-thread",
        "query.thread_name.contains": "--thread-name-contains",
        "query.thread_name.glob": "--thread-name",
        "query.thread_name.regex": "--thread-name-regex",
        "query.thread_name": "--thread-name",
        "query.min_duration_ns": "--min-duration",
        "query.max_duration_ns": "--max-duration",
        "query.after_sequence": "--after",
        "columns": "--columns",
        "group_by": "--by",
        "measures": "--measure",
        "limit": "--limit",
        "order": "--order",
        "query.last": "--last",
        "token": "--token-file",
        "tls.ca": "--tls-ca",
        "tls.cert": "--tls-cert",
        "tls.key": "--tls-key",
        "format": "--format",
        "compression": "--compress",
        "header": "--header",
        "time_precision": "--time-precision",
        "excel": "--excel",
        "metadata": "--metadata",
        "client_version": "the version of argus-client",
    }
)
"""What a user of the command line wrote, by the path of the request's field, or by its name in a
checkpoint."""

WHAT = "What of them"
_HEADING = "Which events (all, if none of these is given)"
_TYPE_NAMES = ", ".join(name.removeprefix("VIRTUAL_THREAD_") for name in EVENT_TYPE_CODES)


_INSTANT = Parsed("time", parse_instant_ns)
_DURATION = Parsed("duration", parse_duration_ns)

_OPTIONS = (
    option(
        "--from",
        "start",
        type=_INSTANT,
        metavar="TIME",
        heading=_HEADING,
        help="From this time on: 2024-01-31, or 2024-01-31T08:30:00.5Z, or with +01:00 for Z. No zone "
        "means UTC.",
    ),
    option(
        "--to", "end", type=_INSTANT, metavar="TIME", heading=_HEADING, help="Up to, not with, this time."
    ),
    option(
        "--last",
        type=_DURATION,
        metavar="DURATION",
        heading=_HEADING,
        help="From so long ago on, by this machine's clock: 90s, 15m, 1h30m, 7d.",
    ),
    option(
        "--type",
        "types",
        metavar="TYPE",
        heading=_HEADING,
        help=f"Of any of these types; repeat it, or use commas. Any letter case: {_TYPE_NAMES}.",
        **comma_list(checked_by(parse_event_type)),
    ),
    option(
        "--source",
        "sources",
        type=Parsed("source", checked_by(parse_source_prefix)),
        metavar="NAME",
        multiple=True,
        heading=_HEADING,
        help="From this JVM; with * at its end, as in 'prod-*', from all whose names begin so. Repeat it for"
        " any of several.",
    ),
    option(
        "--thread-name",
        metavar="GLOB",
        heading=_HEADING,
        help="The whole thread name fits: * any characters, ? any one, [a-z] a set, [!a-z] none of it.",
    ),
    option(
        "--thread-name-contains", metavar="TEXT", heading=_HEADING, help="The thread name has TEXT in it."
    ),
    option(
        "--thread-name-regex",
        metavar="REGEX",
        heading=_HEADING,
        help="The thread name has a match of this RE2 expression.",
    ),
    option(
        "--thread-id",
        "thread_ids",
        metavar="ID",
        heading=_HEADING,
        help="Of this thread; repeat it, or use commas.",
        **comma_list(whole_number()),
    ),
    option(
        "--carrier-thread",
        "carrier_threads",
        metavar="ID",
        heading=_HEADING,
        help="Of a virtual thread on this carrier; repeat it, or use commas.",
        **comma_list(whole_number()),
    ),
    option(
        "--min-duration",
        type=_DURATION,
        metavar="DURATION",
        heading=_HEADING,
        help="That took this long at least: 250us, 10ms, 1.5s.",
    ),
    option(
        "--max-duration",
        type=_DURATION,
        metavar="DURATION",
        heading=_HEADING,
        help="That took this long at most.",
    ),
    option(
        "--after",
        "after_sequence",
        type=Parsed("sequence", whole_number(0)),
        metavar="SEQUENCE",
        default="0",
        heading=_HEADING,
        help="That came in after the one with this sequence number: what is new since the export whose "
        "watermark it was.",
    ),
)


def query_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the options that say which events; it gets them as the argument `query`."""

    @wraps(command)
    def with_query(
        *,
        start: int | None,
        end: int | None,
        last: int | None,
        types: tuple[str, ...],
        sources: tuple[str, ...],
        thread_name: str | None,
        thread_name_contains: str | None,
        thread_name_regex: str | None,
        thread_ids: tuple[int, ...],
        carrier_threads: tuple[int, ...],
        min_duration: int | None,
        max_duration: int | None,
        after_sequence: int,
        **others: Any,
    ) -> Any:
        _refuse_together(**{"--from": start, "--last": last})
        _refuse_together(
            **{
                "--thread-name": thread_name,
                "--thread-name-contains": thread_name_contains,
                "--thread-name-regex": thread_name_regex,
            }
        )
        query = EventQuery(
            start=start if last is None else time.time_ns() - last,
            end=end,
            types=types,
            sources=sources,
            thread_ids=thread_ids,
            carrier_threads=carrier_threads,
            thread_name_glob=thread_name,
            thread_name_contains=thread_name_contains,
            thread_name_regex=thread_name_regex,
            min_duration=min_duration,
            max_duration=max_duration,
            after_sequence=after_sequence,
        )
        return command(query=query, **others)

    for decorate in reversed(_OPTIONS):
        with_query = decorate(with_query)
    return with_query


def _refuse_together(**values: object) -> None:
    given = [flag for flag, value in values.items() if value is not None]
    if len(given) > 1:
        raise click.UsageError(f"{' and '.join(given)} cannot be given together; give one of them")


columns_option = option(
    "--columns",
    metavar="NAMES",
    heading=WHAT,
    help="Which columns, between commas, in this order; all for every one. `argus-client columns` lists "
    "them.  [default: timestamp, event_type, thread_id, thread_name, carrier_thread, duration_ns]",
    **comma_list(str),
)


def limit_option(rows: str) -> Callable[[Any], Any]:
    """--limit, of a command that writes rows so called."""
    return option(
        "--limit",
        type=Parsed("number", whole_number(1)),
        metavar="N",
        heading=WHAT,
        help=f"At most N {rows}. When that cuts, it is said, and the exit code is 3.",
    )
