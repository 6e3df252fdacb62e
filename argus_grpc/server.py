"""The gRPC server: the services, what stands around them, and its life."""

from concurrent.futures import ThreadPoolExecutor
from typing import Self

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from argus_grpc.bounds import MemoryBudget
from argus_grpc.config import Config
from argus_grpc.entrance import Entrance
from argus_grpc.errors import StoreUnavailable
from argus_grpc.ingest import Admission
from argus_grpc.interceptors.calls import Calls, log_call
from argus_grpc.interceptors.domain_errors import DomainErrors
from argus_grpc.interceptors.export_slots import ExportSlots
from argus_grpc.interceptors.identity import Identity
from argus_grpc.interceptors.later_answers import LaterAnswers
from argus_grpc.interceptors.stalls import StallGuard
from argus_grpc.interceptors.unread_requests import UnreadRequests
from argus_grpc.service import ExportService, IngestService
from argus_grpc.store import CommitTiming, DuckDbStore, RetentionLimits
from argus_grpc.tokens import TokenMaker
from argus_grpc.v1 import export_pb2, export_pb2_grpc, ingest_pb2, ingest_pb2_grpc

_SERVICES = (
    export_pb2.DESCRIPTOR.services_by_name["ExportService"].full_name,
    ingest_pb2.DESCRIPTOR.services_by_name["IngestService"].full_name,
)

# Threads beyond those that exports and ingests can take, for the other calls: health, plans, refusals.
_THREADS_FOR_OTHER_CALLS = 16

_MAX_PENDING_S = 600


class Server:
    """A running server. Close it, or use `with`; that ends running calls after the grace time.

    Raises BadFile if a file of TLS, identity or policy cannot be used; StoreUnavailable if the database
    cannot be opened or the address cannot be had.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._entrance = Entrance(config)
        self._store = DuckDbStore(
            None if config.no_persistence else config.db,
            memory_limit_bytes=config.memory_limit,
            batch_id_lifetime_s=config.batch_id_lifetime_s,
            disk_reserve_bytes=config.disk_reserve,
            commit_timing=CommitTiming(config.commit_interval_s, config.commit_size),
            newest_events=config.buffer_events,
            limits=RetentionLimits(
                max_age_s=config.retention.total_seconds() if config.retention else None,
                max_bytes=config.max_database_bytes,
            ),
        )
        key = config.token_key.encode() if config.token_key else self._store.random_bytes("resume_token_key")
        tokens = TokenMaker(key, config.token_lifetime_s)
        budget = MemoryBudget(config.export_memory)
        admission = Admission(config.max_ingests, config.ingest_memory)

        self._identity = Identity(self._entrance.authenticator)
        self._threads = ThreadPoolExecutor(
            config.max_exports + config.max_ingests + _THREADS_FOR_OTHER_CALLS, thread_name_prefix="call"
        )
        self._stalls = StallGuard(config.stall_timeout_s)
        self._grpc = grpc.server(
            self._threads,
            # First to last is outermost to innermost. What begins a call stands around all work, so that it
            # sees how every call ended and has made the request id that errors carry; errors stand around
            # what raises them; who calls is known before anything is spent on the call; only an export that
            # has a slot can stall; what changes the kind of
            # a method's request stands next to it, and of its answer next to gRPC.
            interceptors=[
                LaterAnswers(),
                Calls([log_call]),
                DomainErrors(),
                self._identity,
                ExportSlots(config.max_exports),
                self._stalls,
                UnreadRequests(),
            ],
            options=[
                # Two servers on one port would each get some of the calls.
                ("grpc.so_reuseport", 0),
                # Clients ping once a minute to notice a dead connection, also while a stream is quiet.
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 30_000),
                ("grpc.keepalive_permit_without_calls", 1),
                # Calls that wait to be taken up, unread. Beyond the defaults, 1,000 calls and 30 seconds,
                # gRPC ends some with CANCELLED, which nobody sends again; refusals of ours say when to.
                ("grpc.server.max_pending_requests", 10_000),
                ("grpc.server.max_pending_requests_hard_limit", 10_000),
                ("grpc.server_max_unrequested_time_in_server", _MAX_PENDING_S),
            ],
        )
        export_pb2_grpc.add_ExportServiceServicer_to_server(
            ExportService(self._store, tokens, budget), self._grpc
        )
        ingest_pb2_grpc.add_IngestServiceServicer_to_server(IngestService(self._store, admission), self._grpc)
        self._health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        reflection.enable_server_reflection(
            (*_SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME), self._grpc
        )

        host = config.listen.rpartition(":")[0]
        try:
            port = self._entrance.listen(self._grpc, config.listen)
        except RuntimeError as error:
            self._entrance.close()
            self._stalls.close()
            self._store.close()
            raise StoreUnavailable(f"cannot listen on {config.listen}; is another server there?") from error
        self.address = f"{host}:{port}"
        self._entrance.watch(self._identity.look)
        self._grpc.start()
        for service in ("", *_SERVICES):
            self._health.set(service, health_pb2.HealthCheckResponse.SERVING)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Takes no new calls, waits for running ones as long as the grace time, then ends them. Exports
        that wait for new events end at once."""
        self._health.enter_graceful_shutdown()
        has_stopped = self._grpc.stop(self._config.shutdown_grace_s)
        self._store.stop_waiting()
        has_stopped.wait()
        self._threads.shutdown()
        self._entrance.close()
        self._stalls.close()
        self._store.close()
