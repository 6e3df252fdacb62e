"""The gRPC server: the services, what stands around them, and its life."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Self

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from argus_grpc.bounds import MemoryBudget
from argus_grpc.config import Config
from argus_grpc.entrance import Entrance
from argus_grpc.errors import CannotListen
from argus_grpc.ingest import Admission
from argus_grpc.interceptors.call import CallLayers
from argus_grpc.interceptors.calls import Calls
from argus_grpc.interceptors.domain_errors import DomainErrors
from argus_grpc.interceptors.export_queue import MAX_PLANS, ExportQueue, PlanQueue
from argus_grpc.interceptors.health_requests import HealthRequests
from argus_grpc.interceptors.identity import Identity
from argus_grpc.interceptors.later_answers import LaterAnswers
from argus_grpc.interceptors.reflection_bound import REFLECTION_IDLE_S, ReflectionBound
from argus_grpc.interceptors.request_rate import RequestRate
from argus_grpc.interceptors.stalls import StallGuard
from argus_grpc.interceptors.unread_requests import REQUEST_TIMEOUT_S, UnreadRequests
from argus_grpc.interceptors.watchdog import Watchdog
from argus_grpc.limits import Accounts
from argus_grpc.observers import Observers
from argus_grpc.service import ExportService, IngestService
from argus_grpc.serving import ServingStatus
from argus_grpc.store import CommitTiming, DuckDbStore, RetentionLimits
from argus_grpc.tokens import TokenMaker
from argus_grpc.v1 import export_pb2, export_pb2_grpc, ingest_pb2, ingest_pb2_grpc

_SERVICES = (
    export_pb2.DESCRIPTOR.services_by_name["ExportService"].full_name,
    ingest_pb2.DESCRIPTOR.services_by_name["IngestService"].full_name,
)

# Threads beyond those that exports and plans, running and waiting, and ingests can take, for calls that wait
# for nothing but their request, and not long: columns, refusals; and for the few streams of reflection.
_THREADS_FOR_OTHER_CALLS = 16

_MAX_PENDING_S = 600


class Server:
    """A running server. Close it, or use `with`; that ends running calls after the grace time.

    Raises BadFile if a file of TLS or identity cannot be used, StoreUnavailable if the database cannot be
    opened, AuditUnavailable if the audit log cannot, and CannotListen if an address cannot be had.
    """

    def __init__(self, config: Config) -> None:
        with ExitStack() as opened:
            self._open(config, opened)
            self._opened = opened.pop_all()

    def _open(self, config: Config, opened: ExitStack) -> None:
        """What is opened, `opened` closes, the latest first."""
        self._config = config
        self._entrance = Entrance(config)
        opened.callback(self._entrance.close)
        self._observers = Observers(config)
        opened.callback(self._observers.close)
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
            on_commit_took=self._observers.committed,
        )
        opened.callback(self._store.close)
        key = config.token_key.encode() if config.token_key else self._store.random_bytes("resume_token_key")
        tokens = TokenMaker(key, config.token_lifetime_s)
        budget = MemoryBudget(config.export_memory)
        admission = Admission(config.max_ingests, config.ingest_memory)

        self._identity = Identity(self._entrance.authenticator)
        accounts = Accounts(time.monotonic)
        self._queue = ExportQueue(config.max_exports, config.max_queued, config.queue_timeout_s, accounts)
        self._plans = PlanQueue(config.max_queued, config.queue_timeout_s)
        can_wait = config.max_exports + MAX_PLANS + 2 * config.max_queued + config.max_ingests
        threads = can_wait + _THREADS_FOR_OTHER_CALLS
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="call")
        self._watchdog = Watchdog()
        opened.callback(self._watchdog.close)
        self._health_requests = HealthRequests(self._watchdog, REQUEST_TIMEOUT_S)
        opened.callback(self._health_requests.close)
        self._grpc = grpc.server(
            self._threads,
            # First to last is outermost to innermost. What changes the kind of an answer, or how a request is
            # waited for, stands next to gRPC. What begins a call stands around all work, so that it
            # sees how every call ended and has made the request id that errors carry; errors stand around
            # what raises them; who calls is known before anything is spent on the call, and
            # how much is asked for is looked at next. Only then is a request read: until there its kind is a
            # stream's, further in that of its method. Only an export that has a slot can stall.
            interceptors=[
                self._health_requests,
                LaterAnswers(),
                CallLayers(
                    [
                        Calls(self._observers.on_ended),
                        *self._observers.of_all,
                        DomainErrors(),
                        self._identity,
                        *self._observers.of_known_callers,
                        RequestRate(accounts),
                        ReflectionBound(self._watchdog, REFLECTION_IDLE_S),
                    ]
                ),
                UnreadRequests(self._watchdog, REQUEST_TIMEOUT_S),
                CallLayers(
                    [
                        self._queue,
                        self._plans,
                        *self._observers.of_running_exports,
                        StallGuard(self._watchdog, config.stall_timeout_s),
                    ]
                ),
            ],
            options=[
                # Two servers on one port would each get some of the calls.
                ("grpc.so_reuseport", 0),
                # Clients ping once a minute to notice a dead connection, also while a stream is quiet.
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 30_000),
                ("grpc.keepalive_permit_without_calls", 1),
                # More than there are threads for wait at their client: thousands on one connection would
                # otherwise stand before the one of another.
                ("grpc.max_concurrent_streams", threads),
                # Calls that wait to be taken up, unread. Beyond the defaults, 1,000 calls and 30 seconds,
                # gRPC ends some with CANCELLED, which nobody sends again; refusals of ours say when to.
                ("grpc.server.max_pending_requests", 10_000),
                ("grpc.server.max_pending_requests_hard_limit", 10_000),
                ("grpc.server_max_unrequested_time_in_server", _MAX_PENDING_S),
            ],
        )
        export_pb2_grpc.add_ExportServiceServicer_to_server(
            ExportService(self._store, tokens, budget, accounts), self._grpc
        )
        ingest_pb2_grpc.add_IngestServiceServicer_to_server(IngestService(self._store, admission), self._grpc)
        self._health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        if config.reflection:
            reflection.enable_server_reflection(
                (*_SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME), self._grpc
            )

        host = config.listen.rpartition(":")[0]
        try:
            port = self._entrance.listen(self._grpc, config.listen)
            self._observers.begin(self._store, lambda: self._queue.waiting)
        except RuntimeError as error:
            raise CannotListen(f"cannot listen on {config.listen}; is another server there?") from error
        self.address = f"{host}:{port}"
        self.metrics_address = self._observers.metrics_address
        self._entrance.watch(self._identity.look)
        self._grpc.start()
        serving = ServingStatus(self._health, dict.fromkeys(_SERVICES, self._is_serving))
        opened.callback(serving.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Takes no new calls, waits for running ones as long as the grace time, then ends them. Exports
        that wait for new events end at once."""
        self._health.enter_graceful_shutdown()
        has_stopped = self._grpc.stop(self._config.shutdown_grace_s)
        self._queue.close()
        self._plans.close()
        self._store.stop_waiting()
        has_stopped.wait()
        self._threads.shutdown()
        self._opened.close()

    def _is_serving(self) -> bool:
        return self._store.is_available and self._observers.can_record
