"""What callers are known by, made as an operator or an issuer makes it: certificates, tokens, JSON Web
Tokens."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import grpc
import jwt
import trustme
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from argus_grpc.access.tokens_file import create_token
from argus_grpc.config import Config
from argus_grpc.server import Server

ISSUER = "https://issuer.example"
AUDIENCE = "argus"


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    """The metadata that a token is sent in."""
    return (("authorization", f"Bearer {token}"),)


def make_token(path: Path, name: str, role: str) -> str:
    token, _ = create_token(path, name, role, None)
    return token


def id_of(token: str) -> str:
    return token.split("_")[1]


def change_tokens(path: Path, name: str, **values: Any) -> None:
    """Changes the entries of a name as an editor would, with one write of the whole."""
    content = json.loads(path.read_text())
    for entry in content["tokens"]:
        if entry["name"] == name:
            entry.update(values)
    replacement = path.with_suffix(".new")
    replacement.write_text(json.dumps(content))
    replacement.replace(path)


@dataclass
class TlsFiles:
    """A server's certificate and key, and the authority of its clients, as files."""

    folder: Path
    authority: trustme.CA = field(default_factory=trustme.CA)
    client_authority: trustme.CA = field(default_factory=trustme.CA)

    def __post_init__(self) -> None:
        self.rotate()
        self.client_ca.write_bytes(self.client_authority.cert_pem.bytes())

    @property
    def cert(self) -> Path:
        return self.folder / "cert.pem"

    @property
    def key(self) -> Path:
        return self.folder / "key.pem"

    @property
    def client_ca(self) -> Path:
        return self.folder / "clients.pem"

    def rotate(self, days: int = 365) -> None:
        """Writes a new certificate and key, of the same authority, one after the other."""
        end = datetime.now(UTC) + timedelta(days=days)
        issued = self.authority.issue_cert("localhost", "127.0.0.1", not_after=end)
        self.cert.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        self.key.write_bytes(issued.private_key_pem.bytes())
        self.key.chmod(0o600)

    def settings(self, mutual: bool = False) -> dict[str, Any]:
        files = {"tls_cert": self.cert, "tls_key": self.key}
        return files | ({"tls_client_ca": self.client_ca} if mutual else {})

    def channel(self, address: str, client: trustme.LeafCert | None = None) -> grpc.Channel:
        """A connection of its own, as a client with this certificate."""
        pair = (
            (client.private_key_pem.bytes(), b"".join(pem.bytes() for pem in client.cert_chain_pems))
            if client
            else (None, None)
        )
        credentials = grpc.ssl_channel_credentials(self.authority.cert_pem.bytes(), *pair)
        return grpc.secure_channel(address, credentials, [("grpc.use_local_subchannel_pool", 1)])

    def client_cert(self, name: str, **kwargs: Any) -> trustme.LeafCert:
        return self.client_authority.issue_cert(
            f"{name}@example.org", common_name=name, organization_name="acme", **kwargs
        )


@contextmanager
def tls_server(folder: Path, files: TlsFiles, mutual: bool = False, **settings: Any) -> Iterator[Server]:
    """A server with an empty store that speaks TLS."""
    settings |= files.settings(mutual)
    config = Config(db=folder / "events.duckdb", listen="127.0.0.1:0", shutdown_grace_s=1, **settings)
    with Server(config) as server:
        yield server


@dataclass
class Issuer:
    """Who signs JSON Web Tokens."""

    kid: str = "key-1"
    key: EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def jwks(self) -> dict[str, Any]:
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key()))
        return {"keys": [{**public, "kid": self.kid, "use": "sig", "alg": "ES256"}]}

    def token(self, name: str = "ann", role: object = "reader", *, without: str = "", **claims: Any) -> str:
        """A good token but for the claims that are given, or left out."""
        payload = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": name,
            "role": role,
            "exp": int(time.time()) + 3600,
            **claims,
        }
        payload.pop(without, None)
        return jwt.encode(payload, self.key, "ES256", headers={"kid": self.kid})


def write_jwks(path: Path, *issuers: Issuer) -> None:
    """The keys of issuers, in one file."""
    keys = [key for issuer in issuers for key in issuer.jwks()["keys"]]
    path.write_text(json.dumps({"keys": keys}))


@contextmanager
def jwks_server(content: "dict[str, Any] | None") -> Iterator["JwksServer"]:
    """A key set over HTTP on this machine; None: it fails for now."""
    server = JwksServer(content)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class JwksServer(ThreadingHTTPServer):
    def __init__(self, content: "dict[str, Any] | None") -> None:
        super().__init__(("127.0.0.1", 0), _JwksHandler)
        self.content = content
        self.redirect_to: str | None = None
        self.garbage: bytes | None = None
        self.fetches = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/keys"


class _JwksHandler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, JwksServer)
        self.server.fetches += 1
        if self.server.garbage is not None:
            self.wfile.write(self.server.garbage)
            return
        content = self.server.content
        if self.server.redirect_to:
            self.send_response(302)
            self.send_header("Location", self.server.redirect_to)
        else:
            self.send_response(503 if content is None else 200)
        self.end_headers()
        self.wfile.write(json.dumps(content or {}).encode())

    def log_message(self, *_: object) -> None:
        pass
