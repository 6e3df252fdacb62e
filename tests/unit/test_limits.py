"""Token buckets, and what callers have had of what their roles let them have."""

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argus_grpc.access import Principal, Role, RoleLimits
from argus_grpc.calls import Call
from argus_grpc.errors import Exhausted, LimitReached, TooLarge
from argus_grpc.limits import Accounts, Bucket, Rate, request_rate, row_rate

rates = st.builds(Rate, st.sampled_from([0.01, 0.5, 1.0, 7.0, 1e6]), st.integers(1, 1_000_000).map(float))


@given(rates, st.lists(st.tuples(st.floats(0, 1_000), st.integers(0, 2_000_000)), max_size=30))
def test_in_no_time_more_comes_than_a_burst_and_what_comes_back_meanwhile(
    rate: Rate, asked: list[tuple[float, int]]
) -> None:
    bucket, now_s, taken = Bucket(), 0.0, [(0.0, 0)]
    for pause_s, amount in asked:
        now_s += pause_s
        if not bucket.wait_s(rate, amount, now_s):
            bucket.take(rate, amount, now_s)
            taken.append((now_s, amount))
    for first, (began_s, _) in enumerate(taken):
        for last in range(first, len(taken)):
            most = rate.burst + rate.per_s * (taken[last][0] - began_s)
            assert sum(amount for _, amount in taken[first : last + 1]) <= most * (1 + 1e-9) + 1e-3


@given(rates, st.integers(0, 1_000_000), st.integers(1, 2_000_000))
def test_there_is_room_when_it_said_and_not_before(rate: Rate, before: int, amount: int) -> None:
    bucket = Bucket()
    bucket.take(rate, before, 0)
    wait_s = bucket.wait_s(rate, amount, 0)
    assert (wait_s == math.inf) == (amount > rate.burst)
    if 0 < wait_s < math.inf:
        assert Bucket(bucket.used, 0).wait_s(rate, amount, wait_s * 0.999) > 0
        assert Bucket(bucket.used, 0).wait_s(rate, amount, wait_s * 1.001) == 0


@pytest.mark.parametrize(("per_minute", "burst"), [(1, 1), (6, 6), (10, 10), (60, 10), (600, 60)])
def test_a_burst_of_requests_is_a_tenth_of_a_minutes_at_least_ten_never_more_than_all(
    per_minute: int, burst: int
) -> None:
    assert request_rate(per_minute) == Rate(per_minute / 60, burst)


@dataclass
class World:
    """Accounts with a clock that is set by hand."""

    now_s: float = 0.0
    accounts: Accounts = field(init=False)

    def __post_init__(self) -> None:
        self.accounts = Accounts(lambda: self.now_s)

    def call(self, name: str = "a", **limits: int) -> Call:
        role = Role("r", limits=RoleLimits(**limits))
        return Call("id", "/m", "peer", 0.0, Principal(name, "token", "r"), role)

    def requests(self, call: Call) -> int:
        """How many pass now."""
        for count in range(1_000):
            try:
                self.accounts.request(call)
            except LimitReached:
                return count
        raise AssertionError("there is no limit")


def test_requests_come_back_evenly_and_one_callers_are_not_anothers() -> None:
    world = World()
    assert world.requests(world.call("a", requests_per_minute=60)) == 10
    assert world.requests(world.call("b", requests_per_minute=60)) == 10
    world.now_s = 3.0
    assert world.requests(world.call("a", requests_per_minute=60)) == 3
    with pytest.raises(
        LimitReached, match=r"requests_per_minute: the limit of 60 requests a minute .* try again in 1.0 s"
    ) as refused:
        world.accounts.request(world.call("a", requests_per_minute=60))
    assert refused.value.retry_after_s == 1.0


def test_where_a_role_changes_its_new_limits_hold_at_once() -> None:
    world = World()
    assert world.requests(world.call(requests_per_minute=600)) == 60
    with pytest.raises(LimitReached) as refused:
        world.accounts.request(world.call(requests_per_minute=60))
    assert refused.value.retry_after_s == 51.0
    assert world.requests(world.call(requests_per_minute=6_000)) == 540


def test_exports_at_once_are_counted_until_they_end() -> None:
    world = World()
    with ExitStack() as running:
        for _ in range(2):
            running.enter_context(world.accounts.export(world.call(concurrent_exports=2)))
        with (
            pytest.raises(LimitReached, match="concurrent_exports: the limit of 2 exports at once of a is"),
            world.accounts.export(world.call(concurrent_exports=2)),
        ):
            pass
        with world.accounts.export(world.call("b", concurrent_exports=2)):
            pass
    with world.accounts.export(world.call(concurrent_exports=1)):
        pass


@contextmanager
def refused(kind: type[Exhausted | TooLarge], retry_after_s: float | None = None) -> Iterator[None]:
    with pytest.raises(kind, match=r"^rows_per_hour: ") as refusal:
        yield
    if isinstance(refusal.value, Exhausted):
        assert refusal.value.retry_after_s == pytest.approx(retry_after_s)


def test_an_export_is_refused_before_it_begins_if_its_rows_are_too_many() -> None:
    world = World()
    call = world.call(rows_per_hour=3_600)
    with world.accounts.rows(call) as large, refused(TooLarge):
        large.reserve(3_601)
    with world.accounts.rows(call) as first, world.accounts.rows(call) as second:
        first.reserve(3_000)
        with refused(LimitReached, 2_400):
            second.reserve(3_000)
        second.reserve(600)
        first.send(3_000)
        with world.accounts.rows(call) as third, refused(LimitReached, 3_600):
            third.reserve(3_600)
        world.now_s = 1_000.0
        second.reserve(1_000)
    # What was not sent is free again.
    with world.accounts.rows(call) as third:
        third.reserve(1_600)
    with world.accounts.rows(world.call("b", rows_per_hour=3_600)) as other:
        other.reserve(3_600)


def test_rows_that_nobody_could_count_before_end_when_none_is_left() -> None:
    world = World()
    with world.accounts.rows(world.call(rows_per_hour=3_600)) as follower:
        follower.reserve(100)
        follower.send(3_500)
        # The last batch may be more than is left.
        follower.send(1_100)
        with refused(LimitReached, 1_001):
            follower.send(1)
        world.now_s = 1_001.0
        follower.send(5)


@given(st.integers(1, 50), st.lists(st.tuples(st.integers(0, 60), st.integers(0, 100)), max_size=20))
def test_what_is_reserved_and_sent_never_passes_the_limit(
    per_hour: int, asked: list[tuple[int, int]]
) -> None:
    world = World()
    call = world.call(rows_per_hour=per_hour)
    rate, sent_or_promised = row_rate(per_hour), 0
    with ExitStack() as running:
        for rows, pause_s in asked:
            allowance = running.enter_context(world.accounts.rows(call))
            world.now_s += pause_s
            try:
                allowance.reserve(rows)
            except (LimitReached, TooLarge):
                continue
            sent_or_promised += rows
            allowance.send(rows // 2)
            assert sent_or_promised <= per_hour + rate.per_s * world.now_s + 1e-6


def test_without_limits_nothing_is_refused() -> None:
    world = World()
    for _ in range(1_000):
        world.accounts.request(world.call())
    with world.accounts.export(world.call()), world.accounts.rows(world.call()) as allowance:
        allowance.reserve(10**12)
        allowance.send(10**12)


def test_callers_of_whom_nothing_is_left_to_remember_are_forgotten() -> None:
    world = World()
    with world.accounts.export(world.call("stays", concurrent_exports=1)):
        assert world.requests(world.call("spent", requests_per_minute=1)) == 1
        for number in range(5_000):
            world.now_s += 0.01
            world.accounts.request(world.call(f"caller-{number}", requests_per_minute=600))
        assert len(world.accounts) < 1_000
        assert world.requests(world.call("spent", requests_per_minute=1)) == 0
        with (
            pytest.raises(LimitReached),
            world.accounts.export(world.call("stays", concurrent_exports=1)),
        ):
            pass
