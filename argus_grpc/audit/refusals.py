"""Which refusals have records of their own: so many a second of each host, so that nobody fills the disk by
being refused."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv6Network
from urllib.parse import unquote

from argus_grpc.limits import Bucket, Rate

RATE = Rate(per_s=1, burst=10)
TOLD_AFTER_S = 10.0
"""How long suppressed ones of a host are counted before that is told."""
MAX_HOSTS = 4_096
_OTHERS = "others"
_IPV6_NETWORK_BITS = 64

# They cost whoever causes them nothing: strangers, and callers who go on beyond their rate.
_CODES = frozenset({"UNAUTHENTICATED", "RESOURCE_EXHAUSTED"})


@dataclass
class _Suppressed:
    since_s: float
    count: int = 0


@dataclass
class Refusals:
    """Counts refusals by host. Safe for use by many threads.

    clock: says seconds, and never goes back.
    """

    clock: Callable[[], float] = time.monotonic
    _hosts: dict[str, Bucket] = field(default_factory=dict)
    # In the order of since_s.
    _suppressed: dict[str, _Suppressed] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def is_recorded(self, peer: str, code: str) -> bool:
        """Whether a refusal is to have a record; if not, it is counted.

        peer: as gRPC names it.
        """
        if code not in _CODES:
            return True
        with self._lock:
            now_s = self.clock()
            host = self._host(peer, now_s)
            bucket = self._hosts.setdefault(host, Bucket())
            if not bucket.wait_s(RATE, 1, now_s):
                bucket.take(RATE, 1, now_s)
                return True
            self._suppressed.setdefault(host, _Suppressed(now_s)).count += 1
            return False

    def take_suppressed(self, *, is_last: bool) -> list[tuple[str, int]]:
        """Hosts, and how many of theirs were not recorded, as far as it is time to tell.

        is_last: tells of all.
        """
        with self._lock:
            until_s = self.clock() - TOLD_AFTER_S
            due = [
                (host, suppressed.count)
                for host, suppressed in self._suppressed.items()
                if is_last or suppressed.since_s <= until_s
            ]
            for host, _ in due:
                del self._suppressed[host]
            return due

    def _host(self, peer: str, now_s: float) -> str:
        host = host_of(peer)
        if host not in self._hosts and len(self._hosts) >= MAX_HOSTS:
            self._hosts = {host: bucket for host, bucket in self._hosts.items() if bucket.at(RATE, now_s)}
            if len(self._hosts) >= MAX_HOSTS:
                return _OTHERS
        return host


def host_of(peer: str) -> str:
    """Where a peer of gRPC is, without the port. Of IPv6 its network: anyone has 2^64 addresses of one."""
    host = unquote(peer).rpartition(":")[0] or peer
    if not host.startswith("ipv6:["):
        return host
    address = host.removeprefix("ipv6:[").removesuffix("]").partition("%")[0]
    return f"ipv6:{IPv6Network((address, _IPV6_NETWORK_BITS), strict=False)}"
