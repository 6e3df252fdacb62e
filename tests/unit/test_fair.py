"""Slots and threads that callers share: never more than there are, and turn and turn about."""

import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from contextvars import Context, copy_context

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from argus_grpc.access import Principal
from argus_grpc.bounds import MemoryBudget
from argus_grpc.calls import Call, begin
from argus_grpc.fair import FairSlots, FairThreads, Outcome, Place

PATIENCE_S = 30
SLOTS, MAX_WAITING = 2, 6
CALLERS = [Principal(name, "token", "r") for name in "abcd"]


class Slots(RuleBasedStateMachine):
    """Callers that come, go and run out of patience in any order."""

    places = Bundle("places")

    def __init__(self) -> None:
        super().__init__()
        self.slots = FairSlots(SLOTS, MAX_WAITING)
        self.all: list[Place] = []
        self.ended: set[int] = set()
        self.passed_over: defaultdict[Principal, set[Principal]] = defaultdict(set)
        """By caller: those that waited at its last turn, and have done since without one of their own."""

    @rule(target=places, caller=st.sampled_from(CALLERS))
    def enter(self, caller: Principal) -> Place:
        waiting = Counter(place.caller for place in self.waiting)
        was_full = waiting.total() == MAX_WAITING
        place = self.slots.enter(caller)
        self.all.append(place)
        if was_full:
            most = max(waiting.values())
            assert (place.outcome is Outcome.REFUSED) == (most <= waiting[caller] + 1)
        else:
            assert place.outcome is (Outcome.SERVED if self.has_room(besides=place) else None)
        return place

    def has_room(self, besides: Place) -> bool:
        return sum(place.outcome is Outcome.SERVED for place in self.all if place is not besides) < SLOTS

    @rule(number=st.integers(0, SLOTS - 1))
    def free_a_slot(self, number: int) -> None:
        served = [place for place in self.all if place.outcome is Outcome.SERVED]
        if number < len(served):
            self.leave(served[number])

    @rule(place=places)
    def go(self, place: Place) -> None:
        self.leave(place)

    def leave(self, place: Place) -> None:
        before = [waiting for waiting in self.waiting if waiting is not place]
        place.leave()
        self.ended.add(id(place))
        served = [waiting for waiting in before if waiting.outcome is not None]
        assert len(served) <= 1
        for turn in served:
            assert turn.outcome is Outcome.SERVED
            # First come, first served among one's own.
            assert turn is next(waiting for waiting in before if waiting.caller == turn.caller)
            assert not self.passed_over[turn.caller]
            for callers in self.passed_over.values():
                callers.discard(turn.caller)
            self.passed_over[turn.caller] = {place.caller for place in self.waiting} - {turn.caller}

    @rule(place=places)
    def run_out_of_patience(self, place: Place) -> None:
        outcome = place.outcome
        assert place.wait(0) is (outcome or Outcome.TIMED_OUT)

    @rule(place=places)
    def call_off(self, place: Place) -> None:
        outcome = place.outcome
        place.stop_waiting()
        assert place.outcome is (outcome or Outcome.LEFT)

    @property
    def waiting(self) -> list[Place]:
        return [place for place in self.all if place.outcome is None]

    @invariant()
    def those_who_gave_up_are_not_passed_over(self) -> None:
        waiting = {place.caller for place in self.waiting}
        for callers in self.passed_over.values():
            callers &= waiting

    @invariant()
    def never_more_than_there_are(self) -> None:
        served = sum(place.outcome is Outcome.SERVED for place in self.all)
        assert served <= SLOTS
        assert len(self.waiting) == self.slots.waiting <= MAX_WAITING
        # No slot is free while somebody waits.
        assert served == SLOTS or not self.waiting

    @invariant()
    def who_has_left_has_no_slot(self) -> None:
        assert not any(place.outcome is Outcome.SERVED for place in self.all if id(place) in self.ended)


Slots.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestSlots = Slots.TestCase


def test_who_waits_is_woken_when_its_turn_comes_and_when_all_are_sent_away() -> None:
    slots = FairSlots(1)
    first, second, third = (slots.enter(caller) for caller in CALLERS[:3])
    outcomes: list[Outcome] = []
    waiting = threading.Thread(target=lambda: outcomes.append(second.wait()))
    waiting.start()
    first.leave()
    waiting.join(PATIENCE_S)
    assert outcomes == [Outcome.SERVED]
    slots.close()
    assert third.wait(0) is Outcome.LEFT
    assert slots.enter(CALLERS[0]).outcome is Outcome.LEFT


@pytest.fixture
def one_thread() -> Iterator[FairThreads]:
    threads = FairThreads(1, "test")
    yield threads
    threads.shutdown()


def call_of(caller: Principal) -> Context:
    """The context of a call of this caller's."""
    context = copy_context()
    context.run(begin, Call("id", "/m", "peer", 0.0, caller))
    return context


def test_work_is_taken_up_turn_and_turn_about(one_thread: FairThreads) -> None:
    release = threading.Event()
    done: list[tuple[str, int]] = []
    futures: list[Future[None]] = []
    one_thread.submit(release.wait, PATIENCE_S)
    for caller, count in zip(CALLERS, (50, 3, 1), strict=False):

        def submit(caller: Principal = caller, count: int = count) -> None:
            futures.extend(one_thread.submit(done.append, (caller.name, n)) for n in range(count))

        call_of(caller).run(submit)
    called_off = futures[50:52]
    assert all(future.cancel() for future in called_off)
    release.set()
    for future in futures:
        if future not in called_off:
            future.result(PATIENCE_S)
    of_others = [work for work in done if work[0] != "a"]
    assert of_others == [("c", 0), ("b", 2)]
    # Each of theirs had to wait for one of a's at most, the ones called off for none.
    assert done.index(("c", 0)) <= 2
    assert done.index(("b", 2)) <= 6


def test_one_caller_leaves_a_thread_to_the_others() -> None:
    threads = FairThreads(4, "test")
    release, running = threading.Event(), threading.Semaphore(0)

    def work() -> None:
        running.release()
        release.wait(PATIENCE_S)

    call_of(CALLERS[0]).run(lambda: [threads.submit(work) for _ in range(10)])
    assert running.acquire(timeout=PATIENCE_S)
    assert running.acquire(timeout=PATIENCE_S)
    seen: list[str] = []
    call_of(CALLERS[1]).run(threads.submit, seen.append, "b").result(PATIENCE_S)
    assert seen == ["b"]
    assert not running.acquire(blocking=False)
    release.set()
    threads.shutdown()
    assert all(running.acquire(blocking=False) for _ in range(8))


def test_memory_is_shared_over_callers_first() -> None:
    budget = MemoryBudget(1_200)
    with ExitStack() as held:
        shares = {
            caller: [call_of(caller).run(held.enter_context, budget.share()) for _ in range(count)]
            for caller, count in zip(CALLERS, (50, 2, 1), strict=False)
        }
        sizes = [{share() for share in shares[caller]} for caller in CALLERS[:3]]
        assert sizes == [{8}, {200}, {400}]
    with budget.share() as share:
        assert share() == 1_200


def test_what_fails_is_told_to_who_asked(one_thread: FairThreads) -> None:
    with pytest.raises(ZeroDivisionError):
        one_thread.submit(lambda: 1 / 0).result(PATIENCE_S)
    assert one_thread.submit(lambda: 1).result(PATIENCE_S) == 1
