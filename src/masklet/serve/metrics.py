"""Metrics of the server, for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, Metric, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from masklet.serve.service import Service

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)
_BATCHES = (1, 2, 4, 8, 16, 32)


class Metrics:
    """Counters of one server. `docs/serving.md` lists them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "masklet_requests", "HTTP requests.", ["method", "route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "masklet_request_seconds",
            "Seconds from a request to the end of its response.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._batches = Histogram(
            "masklet_batch_size",
            "Predictions that were decoded together.",
            buckets=_BATCHES,
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)

    def observe(self, service: Service) -> None:
        """Show the present state of a service: what waits, sessions, embeddings and images."""
        self.registry.register(_ServiceCollector(service))

    def count_batch(self, size: int) -> None:
        """Count a batch of predictions. Any thread may call it."""
        self._batches.observe(size)

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that has ended."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def write(self) -> bytes:
        """Return all metrics in the text format of Prometheus."""
        return generate_latest(self.registry)


class _ServiceCollector(Collector):
    """Reads the state of a service when the metrics are requested."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        service, embeddings = self._service, self._service.embeddings
        gauges = {
            "masklet_ready": ("Whether the model is loaded and requests are served.", service.is_ready),
            "masklet_waiting_requests": ("Requests that wait or are computed.", service.thread.request_count),
            "masklet_sessions": ("Open video sessions.", len(service.sessions)),
            "masklet_embeddings": ("Encoded images and crops.", 0 if embeddings is None else len(embeddings)),
            "masklet_embedding_bytes": ("Bytes of embeddings.", 0 if embeddings is None else embeddings.byte_count),
            "masklet_image_bytes": ("Bytes of decoded images.", service.images.byte_count),
        }
        counters = {
            "masklet_embedding_hits": ("Predictions whose image was encoded before.", service.embedding_hits),
            "masklet_embedding_misses": ("Predictions whose image was encoded for them.", service.embedding_misses),
            "masklet_refused_requests": ("Requests refused as overloaded.", service.thread.refused_count),
        }
        for name, (text, value) in gauges.items():
            yield GaugeMetricFamily(name, text, value=float(value))
        for name, (text, value) in counters.items():
            yield CounterMetricFamily(name, text, value=float(value))


class Measure:
    """Middleware that counts requests by route. Paths without a route are counted together."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        status, start = 500, time.perf_counter()

        async def send_counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_counted)
        finally:
            method = scope["method"] if scope["method"] in _METHODS else "other"
            seconds = time.perf_counter() - start
            self._metrics.count_request(method, _find_route(scope), status, seconds)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})


def _find_route(scope: Scope) -> str:
    route = getattr(scope.get("route"), "path", None)
    return f"{scope.get('root_path', '')}{route}" if isinstance(route, str) else "other"
