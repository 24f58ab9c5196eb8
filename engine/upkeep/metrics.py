"""Metrics for Prometheus, and the endpoint that answers with them.

Everything is read when it is asked for. Labels come from what is installed and from the program itself,
never from names users choose but those of sub-processes, so that the number of series is bounded.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, ProcessCollector, make_wsgi_app
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from typing_extensions import override

from engine.core.faults import Refused
from engine.security.contexts import Contexts
from engine.upkeep.snapshot import Snapshot
from engine.wire.server import Traffic

AT_ONCE = 8
SILENT_S = 10.0
"""Seconds a client may take to ask."""
PREFIX = "smartdomains_"

Histogram = tuple[list[tuple[float, int]], int, float]


def families(now: Snapshot) -> Iterator[Metric]:
    """Give the metrics of what the loop knows."""
    info = {"version": now.version, "node": now.node}
    yield InfoMetricFamily(f"{PREFIX}daemon", "The daemon.", value=info)
    yield _gauge("running", "Whether it takes new work.", now.state == "running")
    yield _gauge("uptime_seconds", "Since it was started.", now.up_s)
    yield _table(
        "components", "Components of this host.", ("process", "type", "state"), now.components
    )
    yield _gauge("applications", "Applications whose root is here.", now.applications)
    yield _gauge("segments", "Parts of applications held here.", now.segments)
    yield _gauge("subprocesses", "Sub-processes of this host.", now.subprocesses)
    operations = CounterMetricFamily(
        f"{PREFIX}operations", "Operations that are over.", labels=("kind", "result")
    )
    for labels, count in sorted(now.operations.items()):
        operations.add_metric(labels, count)
    yield operations
    yield _gauge("operations_running", "Operations under way.", now.running)
    phases = HistogramMetricFamily(
        f"{PREFIX}phase_seconds",
        "How long phases of parts of applications took.",
        labels=("phase",),
    )
    for name, seen in sorted(now.phases.items()):
        _observe(phases, (name,), seen)
    yield phases
    lag = HistogramMetricFamily(f"{PREFIX}loop_lag_seconds", "By how much the loop was late.")
    _observe(lag, (), now.lag)
    yield lag
    yield _counter("liveness_misses", "Beats of parts elsewhere nobody answered.", now.misses)
    yield _counter("restarts", "Children started again by their parent.", now.restarts)
    yield _gauge("reaper_items", "Things that could not be undone yet.", now.reaper)
    uses = ("size", "busy", "waiting", "left")
    pools = {(pool.name, use): getattr(pool, use) for pool in now.pools for use in uses}
    yield _table("pool_threads", "Threads of pools: at most, busy; work that waits; left behind.",
                 ("pool", "use"), pools)  # fmt: skip
    yield _gauge("ledger_waiting", "Writes of the ledger that are queued.", now.ledger_waiting)
    left = {(what,): seconds for what, seconds in now.expiries_s.items()}
    yield _table("certificate_expiry_seconds", "Until a certificate expires.", ("what",), left)


def traffic_families(traffic: Traffic, denied: int) -> Iterator[Metric]:
    """Give the metrics of the door."""
    by_kind = {("member",): traffic.members, ("stranger",): traffic.strangers}
    yield _table("connections", "Open connections, greeted and not yet.", ("kind",), by_kind)
    refused = CounterMetricFamily(
        f"{PREFIX}refused", "Connections and requests that were refused.", labels=("why",)
    )
    refused.add_metric(("door",), traffic.refused)
    refused.add_metric(("rights",), denied)
    yield refused


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}{name}", text, value=value)


def _counter(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(f"{PREFIX}{name}", text, value=value)


def _table(
    name: str, text: str, labels: tuple[str, ...],
    values: Mapping[Any, float],
) -> GaugeMetricFamily:  # fmt: skip
    family = GaugeMetricFamily(f"{PREFIX}{name}", text, labels=labels)
    for key, value in sorted(values.items()):
        family.add_metric(key, value)
    return family


def _observe(family: HistogramMetricFamily, labels: tuple[str, ...], seen: Histogram) -> None:
    buckets, count, total_s = seen
    pairs = [(f"{bound:g}", float(times)) for bound, times in buckets]
    family.add_metric(labels, [*pairs, ("+Inf", float(count))], total_s)


class Sources:
    """Where a scrape finds its numbers; each is asked from the thread that answers it.

    Attributes:
        snapshot: Returns what the loop knows, or nothing if it does not answer in time.
        late_s: Returns by how much the loop is late now.
        traffic: Returns what goes through the door.
        ledger: Returns rows by table, and bytes.
    """

    def __init__(
        self,
        *,
        snapshot: Callable[[], Snapshot | None],
        late_s: Callable[[], float],
        traffic: Callable[[], Traffic],
        ledger: Callable[[], tuple[dict[str, int], int]],
    ) -> None:
        """Take them."""
        self.snapshot = snapshot
        self.late_s = late_s
        self.traffic = traffic
        self.ledger = ledger


class _Collector(Collector):
    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    @override
    def collect(self) -> Iterator[Metric]:
        sources = self._sources
        now = sources.snapshot()
        yield _gauge("loop_late_seconds", "By how much the loop is late now.", sources.late_s())
        yield _gauge("loop_answers", "Whether the loop answered this very scrape.", now is not None)
        yield _gauge("threads", "Threads of the process.", threading.active_count())
        rows, size = sources.ledger()
        tables = {(table,): count for table, count in rows.items()}
        yield _table("ledger_rows", "Rows of the ledger.", ("table",), tables)
        yield _gauge("ledger_bytes", "Size of the ledger's files.", size)
        yield from traffic_families(sources.traffic(), now.denied if now is not None else 0)
        if now is not None:
            yield from families(now)


class _Quiet(WSGIRequestHandler):
    @override
    def log_message(self, format: str, *args: object) -> None:
        """Write nothing: scrapes come every few seconds."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    contexts: Contexts | None = None

    def __init__(self, address: tuple[str, int], handler: type[_Quiet]) -> None:
        self._free = threading.Semaphore(AT_ONCE)
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, handler)

    @override
    def server_bind(self) -> None:
        """Bind without asking the name service who we are."""
        socket.socket.bind(self.socket, self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "metrics", self.server_address[1]
        self.setup_environ()

    @override
    def get_request(self) -> tuple[Any, Any]:
        """Accept; TLS is greeted in the connection's own thread."""
        sock, address = super().get_request()
        sock.settimeout(SILENT_S)
        if self.contexts is not None:
            sock = self.contexts.server().wrap_socket(
                sock, server_side=True, do_handshake_on_connect=False
            )
        return sock, address

    @override
    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Let in a few at a time."""
        return self._free.acquire(blocking=False)

    @override
    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and make room for the next."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Leave those alone who went away or may not know."""


class Endpoint:
    """Answers scrapes at an address, in threads of its own, until it is closed."""

    def __init__(self, host: str, port: int, sources: Sources, contexts: Contexts | None) -> None:
        """Bind the address; with `contexts` it speaks TLS with members of the community only.

        Raises:
            Refused: The address is in use or not ours.
        """
        registry = CollectorRegistry()
        ProcessCollector(namespace="smartdomains", registry=registry)
        registry.register(_Collector(sources))
        try:
            self._server = _Server((host, port), _Quiet)
        except OSError as error:
            raise Refused(
                f"cannot answer metrics at {host}:{port}: {error.strerror or error}",
                code="SF-DAEMON-004", hint="choose another address with --metrics",
            ) from error  # fmt: skip
        self._server.set_app(make_wsgi_app(registry))
        self._server.contexts = contexts
        self.port: int = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="metrics", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop answering and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)
