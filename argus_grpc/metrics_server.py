"""GET /metrics, over plain HTTP."""

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from argus_grpc.errors import CannotListen

_TIMEOUT_S = 10.0


class MetricsServer:
    """Serves a registry to Prometheus; port 0 takes a free one. Close it, which frees the port.

    Raises CannotListen.
    """

    def __init__(self, host: str, port: int, registry: CollectorRegistry) -> None:
        class Handler(_Handler):
            served = registry

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

            def server_bind(self) -> None:
                # HTTPServer's own asks the name service who this is, which may take seconds.
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                self.socket.bind(self.server_address)
                self.server_address = self.socket.getsockname()

        try:
            self._server = Server((host, port), Handler)
        except OSError as error:
            raise CannotListen(
                f"metrics cannot be served on {host}, port {port}: {error.strerror}"
            ) from error
        shown_host = f"[{host}]" if ":" in host else host
        self.address = f"{shown_host}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    served: CollectorRegistry
    timeout = _TIMEOUT_S
    server_version = "argus"
    sys_version = ""

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(404)
            return
        encode, content_type = choose_encoder(self.headers.get("Accept", ""))
        body = encode(self.served)
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Scrapes are not logged."""
