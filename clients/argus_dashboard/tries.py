"""How often one address may try to sign in."""

import ipaddress
import time
from collections.abc import Callable

from argus_dashboard.problems import limit_reached

MAX_TRIES = 10
WINDOW_S = 60.0
MAX_PEERS = 10_000

_NETWORK_BITS = 64


class Tries:
    """Counts tries by peer: MAX_TRIES in any WINDOW_S. Of more than MAX_PEERS, those that tried least lately
    are forgotten. For the event loop's thread only."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._by_peer: dict[str, list[float]] = {}

    def count(self, host: str) -> None:
        """Raises a Problem, 429, when that was one too many; it is not counted then."""
        peer = _peer_of(host)
        now_s = self._clock()
        tries = [one for one in self._by_peer.pop(peer, ()) if now_s - one < WINDOW_S]
        self._by_peer[peer] = tries
        if len(self._by_peer) > MAX_PEERS:
            del self._by_peer[next(iter(self._by_peer))]
        if len(tries) >= MAX_TRIES:
            of_what = "tries to sign in a minute"
            raise limit_reached("sign_ins_per_minute", MAX_TRIES, of_what, tries[0] + WINDOW_S - now_s)
        tries.append(now_s)


def _peer_of(host: str) -> str:
    """One who has an IPv6 network has all its addresses."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, _NETWORK_BITS), strict=False))
