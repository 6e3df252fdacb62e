"""How often one address may try to sign in."""

import hashlib
import ipaddress
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from argus_dashboard.problems import limit_reached

MAX_TRIES = 10
MAX_TRIES_OF_PEER = 100
WINDOW_S = 60.0
MAX_PEERS = 1_000

_NETWORK_BITS = 64
_DIGEST_BYTES = 8


@dataclass(frozen=True, eq=False, slots=True)
class Try:
    """One try to sign in, until it is known how it ends."""

    peer: str
    digest: bytes
    at_s: float


class Tries:
    """Counts tries that did not succeed, by peer: in any WINDOW_S MAX_TRIES with one token, and
    MAX_TRIES_OF_PEER in all, since many people may share an address. Tokens are not to be guessed, so this
    guards no more than the server from load. Of more than MAX_PEERS, those that tried least lately are
    forgotten. For the event loop's thread only."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._by_peer: dict[str, list[Try]] = {}

    def count(self, host: str, token: str) -> Try:
        """Raises a Problem, 429, when that was one too many; it is not counted then."""
        peer = _peer_of(host)
        digest = hashlib.sha256(token.encode()).digest()[:_DIGEST_BYTES]
        now_s = self._clock()
        tries = [one for one in self._by_peer.pop(peer, ()) if now_s - one.at_s < WINDOW_S]
        self._by_peer[peer] = tries
        if len(self._by_peer) > MAX_PEERS:
            del self._by_peer[next(iter(self._by_peer))]
        alike = [one for one in tries if one.digest == digest]
        for found, limit in ((alike, MAX_TRIES), (tries, MAX_TRIES_OF_PEER)):
            if len(found) >= limit:
                of_what = "tries to sign in a minute"
                raise limit_reached("sign_ins_per_minute", limit, of_what, found[0].at_s + WINDOW_S - now_s)
        counted = Try(peer, digest, now_s)
        tries.append(counted)
        return counted

    def take_back(self, counted: Try) -> None:
        """It succeeded: it is not counted any more."""
        with suppress(ValueError):
            self._by_peer.get(counted.peer, []).remove(counted)


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
