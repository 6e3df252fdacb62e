"""How much each caller may have, and has had. Pure decisions: the clock is passed in."""

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from argus_grpc.access import Principal, RoleLimits
from argus_grpc.calls import Call
from argus_grpc.errors import LimitReached, TooLarge

# Enough for a page that asks for all its parts at once.
_LEAST_BURST = 10
_BURST_DIVISOR = 10
_RETRY_AFTER_S = 1.0
_LEAST_CALLERS_LOOKED_THROUGH = 256


@dataclass(frozen=True)
class Rate:
    """So much a second in the long run, and `burst` at once. In any t seconds: burst + per_s · t at most."""

    per_s: float
    burst: float


def request_rate(per_minute: int) -> Rate:
    """A tenth of a minute's requests may come at once, at least ten, but never more than a minute's."""
    burst = min(per_minute, max(_LEAST_BURST, per_minute / _BURST_DIVISOR))
    return Rate(per_minute / 60, burst)


def row_rate(per_hour: int) -> Rate:
    """An hour's rows may come at once: one export is as large as it is."""
    return Rate(per_hour / 3600, per_hour)


@dataclass
class Bucket:
    """What has been taken and has not come back yet. It holds no rate, so that a new one holds at once."""

    used: float = 0.0
    _at_s: float = 0.0

    def at(self, rate: Rate, now_s: float) -> float:
        """What is used at this time, which never goes back."""
        self.used = max(0.0, self.used - (now_s - self._at_s) * rate.per_s)
        self._at_s = now_s
        return self.used

    def wait_s(self, rate: Rate, amount: float, now_s: float, promised: float = 0) -> float:
        """In how many seconds there is room for so much more, if what is promised is taken now; 0: there is;
        infinite: there never will be."""
        if amount > rate.burst:
            return math.inf
        return max(0.0, (self.at(rate, now_s) + promised + amount - rate.burst) / rate.per_s)

    def take(self, rate: Rate, amount: float, now_s: float) -> None:
        """Takes it whether there is room or not: what is beyond delays what comes later."""
        self.used = self.at(rate, now_s) + amount


@dataclass
class _Account:
    requests: Bucket = field(default_factory=Bucket)
    rows: Bucket = field(default_factory=Bucket)
    reserved_rows: int = 0
    """Rows that running exports are still to send."""
    exports: int = 0
    limits: RoleLimits = field(default_factory=RoleLimits)
    """As they were last."""

    def is_idle(self, now_s: float) -> bool:
        """Whether a new account would say the same."""
        if self.exports or self.reserved_rows:
            return False
        per_minute, per_hour = self.limits.requests_per_minute, self.limits.rows_per_hour
        requests = self.requests.at(request_rate(per_minute), now_s) if per_minute else 0
        rows = self.rows.at(row_rate(per_hour), now_s) if per_hour else 0
        return not requests and not rows


class Accounts:
    """What each caller has had of what its role lets it have. A caller of whom nothing is left to remember is
    forgotten. Safe for use by many threads.

    clock: says seconds, and never goes back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._accounts: dict[Principal, _Account] = {}
        self._look_through_at = _LEAST_CALLERS_LOOKED_THROUGH

    def __len__(self) -> int:
        """How many callers are remembered."""
        return len(self._accounts)

    def request(self, call: Call) -> None:
        """Counts a request. Raises LimitReached if there are too many a minute; that one does not count."""
        per_minute = call.role.limits.requests_per_minute
        if per_minute is None:
            return
        rate = request_rate(per_minute)
        with self._lock:
            bucket, now_s = self._account(call).requests, self._clock()
            if wait_s := bucket.wait_s(rate, 1, now_s):
                raise LimitReached("requests_per_minute", per_minute, "requests a minute", wait_s)
            bucket.take(rate, 1, now_s)

    @contextmanager
    def export(self, call: Call) -> Iterator[None]:
        """Counts an export, one that waits for its turn too, as long as it is held. Raises LimitReached if
        there are too many at once."""
        most = call.role.limits.concurrent_exports
        with self._lock:
            account = self._account(call)
            if most is not None and account.exports >= most:
                what = f"exports at once of {call.principal.name}"
                raise LimitReached("concurrent_exports", most, what, _RETRY_AFTER_S)
            account.exports += 1
        try:
            yield
        finally:
            with self._lock:
                account.exports -= 1

    @contextmanager
    def rows(self, call: Call) -> Iterator["RowAllowance"]:
        """What an export may send, as long as it is held."""
        per_hour = call.role.limits.rows_per_hour
        with self._lock:
            account = self._account(call)
        allowance = RowAllowance(account, per_hour, self._lock, self._clock)
        try:
            yield allowance
        finally:
            allowance.close()

    def _account(self, call: Call) -> _Account:
        account = self._accounts.get(call.principal)
        if account is None:
            self._forget_idle()
            account = self._accounts[call.principal] = _Account()
        account.limits = call.role.limits
        return account

    def _forget_idle(self) -> None:
        # Each time there are twice as many: seldom enough to cost nothing.
        if len(self._accounts) < self._look_through_at:
            return
        now_s = self._clock()
        self._accounts = {
            caller: account for caller, account in self._accounts.items() if not account.is_idle(now_s)
        }
        self._look_through_at = max(_LEAST_CALLERS_LOOKED_THROUGH, 2 * len(self._accounts))


class RowAllowance:
    """What one export may send of its caller's rows an hour."""

    def __init__(
        self, account: _Account, per_hour: int | None, lock: threading.Lock, clock: Callable[[], float]
    ) -> None:
        self._account = account
        self._per_hour = per_hour
        self._lock = lock
        self._clock = clock
        self._reserved = 0

    def reserve(self, rows: int) -> None:
        """So many are to come, which then surely may. Raises TooLarge if they are more than an hour's, and
        LimitReached if they will do later."""
        if self._per_hour is None:
            return
        rate = row_rate(self._per_hour)
        with self._lock:
            if rows > rate.burst:
                raise TooLarge(
                    "rows_per_hour", f"{rows} rows are more than the limit of {self._per_hour} rows an hour"
                )
            self._check_room(rate, rows)
            self._account.reserved_rows += rows
            self._reserved += rows

    def send(self, rows: int) -> None:
        """Counts rows, before they are sent. Those that were not reserved raise LimitReached when none of an
        hour's is left; the last ones may be more than was left, which the next ones wait for."""
        if self._per_hour is None:
            return
        rate = row_rate(self._per_hour)
        with self._lock:
            kept = min(rows, self._reserved)
            if kept < rows:
                self._check_room(rate, 1)
            self._reserved -= kept
            self._account.reserved_rows -= kept
            self._account.rows.take(rate, rows, self._clock())

    def _check_room(self, rate: Rate, rows: int) -> None:
        assert self._per_hour is not None
        if wait_s := self._account.rows.wait_s(rate, rows, self._clock(), self._account.reserved_rows):
            raise LimitReached("rows_per_hour", self._per_hour, "rows an hour", wait_s)

    def close(self) -> None:
        """What was reserved and not sent is free again."""
        with self._lock:
            self._account.reserved_rows -= self._reserved
            self._reserved = 0
