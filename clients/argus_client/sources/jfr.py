"""Flight Recorder recordings, read through the JDK's `jfr print --json`."""

from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import ExitStack

from argus_client.errors import SourceError
from argus_client.sources.inputs import Input
from argus_client.sources.jfr_events import END, JFR_TYPES, START
from argus_client.sources.jfr_file import Recording, check_chunks
from argus_client.sources.jfr_jvm import ENVIRONMENT, JVM, source_of_jvm
from argus_client.sources.jfr_program import find_jfr
from argus_client.sources.source import EventSource
from argus_grpc.v1.event_pb2 import Event

# The recording's own book-keeping: `jfr summary` counts it, but no JVM event is in it.
_BOOK_KEEPING = frozenset({"jdk.Metadata", "jdk.Checkpoint", "jdk.CheckPoint"})

# The deepest stack that a JVM can record (-XX:FlightRecorderOptions:stackdepth), so that none is
# cut here: jfr does not mark the ones that it cuts.
_MAX_STACK_DEPTH = 2048


class Lifetimes:
    """Gives each END the lifetime of its thread, from the START of the same thread id.

    A file's order is not the order of time, so whichever of the two comes first waits for the
    other. What waits is one entry a thread: the threads alive at this point of the file, and those
    whose other end the recording does not have.
    """

    def __init__(self) -> None:
        self._starts_ns: dict[int, int] = {}
        # Serialized, for a message object takes ten times as much.
        self._ends: dict[int, bytes] = {}

    def start(self, event: Event) -> Iterator[Event]:
        """Yields the START, and its END if that has come already."""
        yield event
        end = self._ends.pop(event.thread_id, None)
        if end is None:
            self._starts_ns[event.thread_id] = event.timestamp
        else:
            yield _with_lifetime(Event.FromString(end), event.timestamp)

    def end(self, event: Event) -> Iterator[Event]:
        """Yields the END if its START has come already, or another of the same id in whose place
        it now waits: ids come twice only in chunks of several JVM runs."""
        start_ns = self._starts_ns.pop(event.thread_id, None)
        if start_ns is not None:
            yield _with_lifetime(event, start_ns)
            return
        if (other := self._ends.get(event.thread_id)) is not None:
            yield Event.FromString(other)
        self._ends[event.thread_id] = event.SerializeToString()

    def rest(self) -> Iterator[Event]:
        """Yields the ENDs whose START did not come; they have no duration."""
        yield from map(Event.FromString, self._ends.values())
        self._ends.clear()


def _with_lifetime(end: Event, start_ns: int) -> Event:
    # Below 0 the two are not of one thread, and nothing is known.
    if end.timestamp >= start_ns:
        end.duration_ns = end.timestamp - start_ns
    return end


class JfrSource(EventSource):
    """A recording. Its fraction goes by the number of events that `jfr summary` counts.

    Events come in two runs of jfr, first the types that carry no stack and then those that do:
    stacks are nearly all of what jfr prints, and most events have one that is not kept.
    """

    def __init__(self, input: Input, source: str | None, jfr: str | None = None) -> None:
        """source: for all events; None: what the recording says of its JVM, else the input's."""
        super().__init__(input)
        self._source = source
        self._jfr = find_jfr(jfr)
        with ExitStack() as stack:
            self._recording = Recording(stack.enter_context(input.as_file()), input.name)
            check_chunks(self._recording)
            self._counts = self._jfr.summary(self._recording)
            self._copy = stack.pop_all()
        self._expected = Counter({name: n for name, n in self._counts.items() if name in JFR_TYPES})
        self.skipped.update(
            {
                name: n
                for name, n in self._counts.items()
                if name not in JFR_TYPES and name not in _BOOK_KEEPING
            }
        )
        self._read_counts: Counter[str] = Counter()

    @property
    def fraction(self) -> float:
        expected = self._expected.total()
        return min(self._read_counts.total() / expected, 1.0) if expected else 1.0

    def close(self) -> None:
        super().close()
        self._copy.close()

    def _read(self) -> Generator[Event]:
        self._read_counts.clear()
        source = self._source or self._source_of_jvm() or self._input.default_source
        for with_stacks in (False, True):
            names = [name for name in self._expected if JFR_TYPES[name].has_stack is with_stacks]
            if names:
                yield from self._read_types(names, source, _MAX_STACK_DEPTH if with_stacks else 0)
        for name, expected in self._expected.items():
            if self._read_counts[name] != expected:
                raise SourceError(
                    f"{self.name} is damaged: it should have {expected:,} events of type {name}, "
                    f"and {self._read_counts[name]:,} can be read"
                )

    def _source_of_jvm(self) -> str | None:
        types = (JVM, ENVIRONMENT)
        if not all(self._counts[name] for name in types):
            return None
        return source_of_jvm(self._jfr.events(self._recording, types, 0))

    def _read_types(self, names: list[str], source: str, stack_depth: int) -> Generator[Event]:
        # Where one of the two is not recorded at all, nothing has anything to wait for.
        lifetimes = Lifetimes() if self._expected[START] and self._expected[END] else None
        for told in self._jfr.events(self._recording, names, stack_depth):
            name = "unknown"
            try:
                name = told["type"]
                self._read_counts[name] += 1
                event = JFR_TYPES[name].to_event(told["values"], source)
            except (KeyError, ValueError, TypeError, AttributeError) as error:
                raise SourceError(
                    f"{self.name} has an event of type {name} that does not fit: {error}"
                ) from error
            if lifetimes is None or not event.thread_id:
                yield event
            elif name == START:
                yield from lifetimes.start(event)
            elif name == END:
                yield from lifetimes.end(event)
            else:
                yield event
        if lifetimes is not None:
            yield from lifetimes.rest()
