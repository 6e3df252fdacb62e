"""What TLS, identity and the audit log cost: the same export from a server with all three and a plain one."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import trustme

from tests.bench import targets
from tests.bench.equality import Content
from tests.bench.files import export_arguments
from tests.bench.processes import BenchFailed, argus_server, run_module, self_timed, timed_module
from tests.bench.rounds import Comparison, Peer, alternate

PLAIN = "argus-server without them"

_DRAIN = "tests.bench.drain"


@dataclass(frozen=True)
class SecuredBench:
    """A plain server (at `address`), and a copy of its database for another, with `rows` events."""

    address: str
    database: Path
    rows: int
    runs: int
    folder: Path
    tell: Callable[[str], None]

    def compare(self) -> tuple[list[Comparison], str]:
        """Files and drains of the one against those of the other, and how alike they are.

        Raises BenchFailed if the files are not equal or nothing was recorded.
        """
        plain, secured = self.folder / "plain.csv", self.folder / "secured.csv"
        audit_log = self.folder / "audit.jsonl"
        ca, token_file, server_flags = _credentials(self.folder)

        def export(address: str, file: Path, *flags: str) -> float:
            file.unlink(missing_ok=True)
            return timed_module(*export_arguments(address, file), *flags)

        with argus_server(self.database, *server_flags, "--audit-log", str(audit_log)) as server:
            flags = ("--tls-ca", str(ca), "--token-file", str(token_file))
            self.tell("secured: warm-up, and whether the files are equal")
            export(self.address, plain)
            export(server.address, secured, *flags)
            if Content.of(plain).sha256 != Content.of(secured).sha256:
                raise BenchFailed("the files of the plain and the secured server are not equal")

            def drain_s(address: str, *credentials: str) -> float:
                return self_timed(_DRAIN, "arrow", address, str(self.rows), *credentials, rows=self.rows)

            comparisons = alternate(
                "CSV file, whole command, with TLS, a token and the audit log",
                self.rows,
                self.runs,
                lambda: export(server.address, secured, *flags),
                {PLAIN: Peer(lambda: export(self.address, plain), targets.SECURED_SPEED)},
                self.tell,
            ) + alternate(
                "ARROW drained by argus_client, with all three",
                self.rows,
                self.runs,
                lambda: drain_s(server.address, str(ca), str(token_file)),
                {PLAIN: Peer(lambda: drain_s(self.address), targets.SECURED_SPEED)},
                self.tell,
            )
        recorded = audit_log.read_text().count('"state":"COMPLETE"')
        if recorded != 2 * self.runs + 1:
            raise BenchFailed(f"the audit log has {recorded} exports, not {2 * self.runs + 1}")
        plain.unlink()
        secured.unlink()
        return comparisons, "Secured: equal bytes, and every export is in the audit log."


def _credentials(folder: Path) -> tuple[Path, Path, tuple[str, ...]]:
    """The authority's certificate, a file with a token, and the server's flags."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    ca, chain, key = folder / "ca.pem", folder / "server.pem", folder / "server.key"
    authority.cert_pem.write_to_path(ca)
    certificate.cert_chain_pems[0].write_to_path(chain)
    certificate.private_key_pem.write_to_path(key)
    tokens, token_file = folder / "tokens.json", folder / "token"
    secret = run_module(
        "argus_grpc.main", "token", "create", "--tokens", str(tokens), "--name", "bench", "--role", "reader"
    )
    token_file.touch(0o600)
    token_file.write_text(secret)
    return ca, token_file, ("--tls-cert", str(chain), "--tls-key", str(key), "--tokens", str(tokens))
