"""The keys that sign JSON Web Tokens, from a file or an address (RFC 7517)."""

import json
import threading
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from http.client import HTTPException
from pathlib import Path
from typing import Any, Protocol

import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from argus_grpc.access.watching import BadFile, Watched
from argus_grpc.errors import KeysUnavailable

_log = structlog.get_logger()

# Asymmetric ones alone (RFC 8725 section 3.1): a shared secret would let the server's operators sign, and a
# public key taken for one lets everybody.
_ALGORITHMS: Mapping[str, tuple[str, ...]] = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "P-256": ("ES256",),
    "P-384": ("ES384",),
    "P-521": ("ES512",),
    "Ed25519": ("EdDSA",),
    "Ed448": ("EdDSA",),
}
_MIN_RSA_BITS = 2048
MAX_JWKS_BYTES = 1024 * 1024

FETCH_INTERVAL_S = 300.0
MIN_FETCH_INTERVAL_S = 60.0
"""Between fetches for keys that are not known, which strangers can name."""
FETCH_TIMEOUT_S = 5.0
RETRY_INTERVAL_S = 10.0
_MAX_WAITING = 16
"""Calls that wait for keys at once, since each has a thread."""


@dataclass(frozen=True)
class Key:
    """A public key. fingerprint: of what it is, whatever it is called."""

    kid: str | None
    fingerprint: str
    algorithms: tuple[str, ...]
    public_key: Any


class KeySet:
    """The keys of a JWK Set that can verify signatures."""

    def __init__(self, keys: list[Key]) -> None:
        self._by_kid = {key.kid: key for key in keys}
        self._only = keys[0] if len(keys) == 1 else None
        self.fingerprints = frozenset(key.fingerprint for key in keys)

    def get(self, kid: str | None) -> Key | None:
        """The key of that name, or the only one where none is named."""
        return self._only if kid is None else self._by_kid.get(kid)


class KeySource(Protocol):
    """Where keys come from."""

    @property
    def keys(self) -> KeySet:
        """The keys now.

        Raises KeysUnavailable while there are none yet.
        """

    def begin(self) -> None:
        """Fetches keys from now on, where they are to be fetched."""

    def look(self) -> None:
        """Takes notice of what has changed, where it is to be looked for."""

    def fetch_for_unknown(self) -> None:
        """Looks for new keys, unless it has just done so.

        Raises KeysUnavailable if that cannot be waited for.
        """

    def close(self) -> None: ...


def parse_jwks(where: object, content: bytes) -> KeySet:
    """The keys of a JWK Set; those that are for something else are passed over (RFC 7517 section 5).

    Raises BadFile if it is none, or has no key that can be used.
    """
    try:
        members = json.loads(content)["keys"]
        keys = [key for member in members if (key := _to_key(member))]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise BadFile(f"{where}: is no JWK Set") from None
    if not keys:
        raise BadFile(
            f"{where}: has no key to verify signatures with; RSA keys of {_MIN_RSA_BITS} bits or more,"
            " and EC and OKP keys are taken"
        )
    return KeySet(keys)


def _to_key(member: dict[str, Any]) -> Key | None:
    kind = member.get("crv") if member.get("kty") in ("EC", "OKP") else member.get("kty")
    algorithms = _ALGORITHMS.get(str(kind), ())
    if "alg" in member:
        algorithms = tuple(algorithm for algorithm in algorithms if algorithm == member["alg"])
    if (
        not algorithms
        or member.get("use", "sig") != "sig"
        or "verify" not in member.get("key_ops", ["verify"])
    ):
        return None
    # A set for verifiers has no private keys; where one is, its public part would do, but it should not be.
    if "d" in member or not isinstance(member.get("kid", ""), str):
        return None
    try:
        public_key = PyJWK(member, algorithms[0]).key
    except (PyJWTError, UnsupportedAlgorithm):
        return None
    if kind == "RSA" and public_key.key_size < _MIN_RSA_BITS:
        return None
    material = {name: member.get(name) for name in ("kty", "crv", "x", "y", "n", "e")}
    fingerprint = sha256(json.dumps(material, sort_keys=True).encode()).hexdigest()
    return Key(member.get("kid"), fingerprint, algorithms, public_key)


class JwksFile:
    """The keys of a file.

    Raises BadFile if it cannot be used at first.
    """

    def __init__(self, path: Path) -> None:
        self._file = Watched([path], lambda content: parse_jwks(path, content))

    @property
    def keys(self) -> KeySet:
        return self._file.value

    def begin(self) -> None:
        """There is nothing to fetch."""

    def look(self) -> None:
        self._file.look()

    def fetch_for_unknown(self) -> None:
        """What the file has is known already."""

    def close(self) -> None:
        """Nothing runs."""


class JwksUrl:
    """The keys at an address, fetched every five minutes in a thread of its own. Those that were there last
    stay in force while it cannot be reached. Close it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: KeySet | None = None
        self._fetched_s = -MIN_FETCH_INTERVAL_S
        self._condition = threading.Condition()
        self._fetches = 0
        self._waiting = 0
        self._is_wanted = True
        self._is_closed = False

    def begin(self) -> None:
        threading.Thread(target=self._run, name="jwks", daemon=True).start()

    @property
    def keys(self) -> KeySet:
        if self._keys is None:
            self.fetch_for_unknown()
        if self._keys is None:
            raise KeysUnavailable
        return self._keys

    def look(self) -> None:
        """The thread looks."""

    def fetch_for_unknown(self) -> None:
        with self._condition:
            is_running = self._is_wanted
            if not is_running and time.monotonic() - self._fetched_s < MIN_FETCH_INTERVAL_S:
                return
            if self._waiting >= _MAX_WAITING:
                raise KeysUnavailable
            self._is_wanted = True
            self._condition.notify_all()
            fetches = self._fetches
            self._waiting += 1
            try:
                if not self._condition.wait_for(lambda: self._fetches > fetches, FETCH_TIMEOUT_S):
                    raise KeysUnavailable
            finally:
                self._waiting -= 1

    def close(self) -> None:
        """The thread ends by itself, after what it fetches."""
        with self._condition:
            self._is_closed = True
            self._condition.notify_all()

    def _run(self) -> None:
        while True:
            with self._condition:
                if self._is_closed:
                    return
            keys = self._fetch()
            with self._condition:
                self._keys = keys or self._keys
                self._fetched_s = time.monotonic()
                self._fetches += 1
                self._is_wanted = False
                self._condition.notify_all()
                interval_s = FETCH_INTERVAL_S if keys else RETRY_INTERVAL_S
                self._condition.wait_for(lambda: self._is_wanted or self._is_closed, interval_s)
                self._is_wanted = True

    def _fetch(self) -> KeySet | None:
        try:
            with _OPENER.open(self._url, timeout=FETCH_TIMEOUT_S) as answer:
                content = answer.read(MAX_JWKS_BYTES + 1)
            if len(content) > MAX_JWKS_BYTES:
                raise BadFile(f"{self._url}: is larger than {MAX_JWKS_BYTES} bytes")
            return parse_jwks(self._url, content)
        except (OSError, HTTPException, ValueError, BadFile) as error:
            _log.error("jwks_not_fetched", url=self._url, error=str(error), have_keys=self._keys is not None)
            return None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Whoever is asked says where keys are; no one else does."""

    def redirect_request(self, *_: object) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirects)
