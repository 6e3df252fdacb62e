"""What many callers share: slots and threads, in turns of the callers."""

import enum
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from argus_grpc.access import Principal
from argus_grpc.calls import current_principal
from argus_grpc.turns import Turns

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Outcome(enum.Enum):
    """What became of a place in a queue."""

    SERVED = enum.auto()
    REFUSED = enum.auto()
    """The queue is full, and others wait for fewer than this caller."""
    TIMED_OUT = enum.auto()
    LEFT = enum.auto()


class Place:
    """A caller's place: in the queue, then in a slot, until it leaves."""

    def __init__(self, slots: "FairSlots", caller: Principal) -> None:
        self._slots = slots
        self.caller = caller
        self.outcome: Outcome | None = None
        # Made for those that wait, since it takes as long as all else here.
        self._is_settled: threading.Event | None = None

    def wait(self, timeout_s: float | None = None) -> Outcome:
        """What became of it: at the latest after this time."""
        if self._is_settled and not self._is_settled.wait(timeout_s):
            self._slots._give_up(self, Outcome.TIMED_OUT)
        assert self.outcome is not None
        return self.outcome

    def stop_waiting(self) -> None:
        """Gives up a place in the queue; one in a slot stays. Any thread may call it."""
        self._slots._give_up(self, Outcome.LEFT)

    def leave(self) -> None:
        """Gives up what it has, in the queue or a slot."""
        self._slots._leave(self)

    def _settle(self, outcome: Outcome) -> None:
        self.outcome = outcome
        if self._is_settled:
            self._is_settled.set()


class FairSlots:
    """A number of slots. While all are taken, callers wait, at most max_waiting at once, and the slots that
    come free go to them in turns.

    When one comes to a full queue, the caller that has the most in it gives up its newest place, unless
    that would leave it with fewer than the one that comes.
    """

    def __init__(self, slots: int, max_waiting: int | None = None) -> None:
        self._free = slots
        self._max_waiting = max_waiting
        self._waiting: Turns[Principal, Place] = Turns()
        self._lock = threading.Lock()
        self._is_closed = False

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def enter(self, caller: Principal) -> Place:
        """A place, which may be settled already. Whoever enters leaves."""
        place = Place(self, caller)
        with self._lock:
            if self._free:
                self._free -= 1
                place._settle(Outcome.SERVED)
            elif self._is_closed:
                place._settle(Outcome.LEFT)
            elif self._max_waiting is None or len(self._waiting) < self._max_waiting:
                self._add(place)
            else:
                self._enter_full_queue(place)
        return place

    @contextmanager
    def turn(self, caller: Principal) -> Iterator[None]:
        """Waits for a slot, however long, and holds it."""
        place = self.enter(caller)
        try:
            place.wait()
            yield
        finally:
            place.leave()

    def close(self) -> None:
        """Sends all away that wait, or would."""
        with self._lock:
            self._is_closed = True
            while found := self._waiting.next():
                found[1]._settle(Outcome.LEFT)

    def _enter_full_queue(self, place: Place) -> None:
        if len(self._waiting):
            longest = self._waiting.longest()
            if self._waiting.count_of(longest) > self._waiting.count_of(place.caller) + 1:
                self._waiting.pop_newest(longest)._settle(Outcome.REFUSED)
                self._add(place)
                return
        place._settle(Outcome.REFUSED)

    def _add(self, place: Place) -> None:
        place._is_settled = threading.Event()
        self._waiting.add(place.caller, place)

    def _withdraw(self, place: Place, outcome: Outcome) -> None:
        if place.outcome is None:
            self._waiting.remove(place.caller, place)
            place._settle(outcome)

    def _give_up(self, place: Place, outcome: Outcome) -> None:
        with self._lock:
            self._withdraw(place, outcome)

    def _leave(self, place: Place) -> None:
        with self._lock:
            self._withdraw(place, Outcome.LEFT)
            if place.outcome is Outcome.SERVED:
                place.outcome = Outcome.LEFT
                if found := self._waiting.next():
                    found[1]._settle(Outcome.SERVED)
                else:
                    self._free += 1


class FairThreads(Executor):
    """A pool of threads whose work is taken up in turns of the callers: that of the call in which submit()
    is called. Of one caller, half of the threads are busy at most, so that the work of another need not wait
    for any of it to end."""

    def __init__(self, threads: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._most_of_one = max(1, threads // 2)
        self._waiting: Turns[Principal, Callable[[], None]] = Turns()
        self._running: Counter[Principal] = Counter()
        self._lock = threading.Lock()

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> "Future[_T]":
        future: Future[_T] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:
                future.set_exception(error)

        with self._lock:
            self._waiting.add(current_principal(), work)
        # One thread more looks whose turn it is then.
        self._pool.submit(self._work)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._pool.shutdown(wait, cancel_futures=cancel_futures)

    def _work(self) -> None:
        while found := self._next():
            caller, work = found
            try:
                work()
            finally:
                # What is left of the last one's is not to be held on to while waiting for the next.
                del found, work
                self._ended(caller)

    def _next(self) -> tuple[Principal, Callable[[], None]] | None:
        with self._lock:
            found = self._waiting.next(lambda caller: self._running[caller] < self._most_of_one)
            if found:
                self._running[found[0]] += 1
            return found

    def _ended(self, caller: Principal) -> None:
        with self._lock:
            self._running[caller] -= 1
            if not self._running[caller]:
                del self._running[caller]
