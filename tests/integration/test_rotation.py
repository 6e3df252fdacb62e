"""Certificates and tokens rotated under load: nothing fails, and a long export ends whole."""

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from argus_client import ArgusClientError, ExportClient, Tls
from argus_grpc.access.tokens_file import revoke_tokens
from argus_grpc.server import Server
from tests.identities import TlsFiles, id_of, make_token, tls_server
from tests.refusals import wait_until
from tests.synthetic import make_store

ROWS = 100_000
ROTATIONS = 2


class Caller:
    """Calls again and again in a thread of its own, until it is told to stop or a call fails."""

    def __init__(self, call: Callable[[], object], token: Callable[[], str]) -> None:
        self.failure: BaseException | None = None
        self.tokens: list[str] = []
        self._call, self._token = call, token
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stopped.is_set():
                token = self._token()
                self._call()
                # What was called with is this one or a newer one.
                self.tokens.append(token)
        except BaseException as failure:
            self.failure = failure


def is_known(server: Server, token: str) -> bool:
    file = server._entrance.authenticator._tokens_file
    assert file is not None
    return file.value.by_id(id_of(token)) is not None


def test_certificates_and_tokens_are_rotated_under_load_without_a_failed_request(tmp_path: Path) -> None:
    make_store(tmp_path / "events.duckdb", ROWS)
    files, tokens = TlsFiles(tmp_path), tmp_path / "tokens.json"
    (tmp_path / "ca.pem").write_bytes(files.authority.cert_pem.bytes())
    tls = Tls(ca=tmp_path / "ca.pem")
    current = [make_token(tokens, "ann", "reader")]

    resumed: list[str] = []

    def on_retry(attempt: int, wait_s: float, error: ArgusClientError) -> None:
        resumed.append(f"{attempt}, {wait_s:g} s: {error}")

    def token() -> str:
        return current[-1]

    with tls_server(tmp_path, files, tokens=tokens) as server:

        def client() -> ExportClient:
            return ExportClient(server.address, token=token, tls=tls)

        def plan_anew() -> None:
            """With a handshake of its own."""
            with client() as own:
                assert own.plan().total_events == ROWS

        with client() as lasting, client() as exporting:
            callers = [
                Caller(plan_anew, token),
                Caller(plan_anew, token),
                Caller(lasting.columns, token),
                Caller(lambda: sum(batch.num_rows for batch in lasting.export(limit=1000)), token),
            ]
            try:
                batches = iter(exporting.export(columns="all", max_batch_bytes=64 * 1024, on_retry=on_retry))
                rows = 0
                for _ in range(ROTATIONS):
                    rows += next(batches).num_rows
                    files.rotate()
                    old, new = token(), make_token(tokens, "ann", "reader")
                    wait_until(partial(is_known, server, new))
                    current.append(new)
                    wait_until(lambda: all(c.tokens[-1:] == [token()] or c.failure for c in callers))
                    revoke_tokens(tokens, id_of(old))
                    wait_until(lambda old=old: not is_known(server, old))  # type: ignore[misc]
                    rows += next(batches).num_rows
                rows += sum(batch.num_rows for batch in batches)
            finally:
                for caller in callers:
                    caller.stop()
    assert [caller.failure for caller in callers] == [None] * len(callers)
    assert all(set(caller.tokens) == set(current) for caller in callers)
    assert rows == ROWS
    # The stream of a revoked token has ended, and gone on at once with the new one.
    assert resumed
    assert all(line.startswith("1, 0 s: ") and "has changed" in line for line in resumed)
