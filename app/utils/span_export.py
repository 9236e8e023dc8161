"""Spans on their way to a collector, in the background.

Where the collector is, and how it is spoken to, say the variables that
OpenTelemetry has for that (`OTEL_EXPORTER_OTLP_ENDPOINT`, `..._HEADERS`, …).
One that is away costs spans and nothing else.
"""

import asyncio
import threading

from opentelemetry.exporter.otlp.proto.http.trace_exporter import (
    OTLPSpanExporter,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Tracer

from app import __version__
from app.constants import OTEL_FLUSH_SECONDS


class SpanExport:
    """Makes spans, and sends them from `start` to `close`.

    Args:
        service: What the service is called in traces.
        pod: What this process is called.
    """

    def __init__(self, service: str, pod: str) -> None:
        self.provider = TracerProvider(
            resource=Resource.create(
                {
                    "service.name": service,
                    "service.version": __version__,
                    "service.instance.id": pod,
                }
            ),
            shutdown_on_exit=False,
        )

    @property
    def tracer(self) -> Tracer:
        """Makes our own spans."""
        return self.provider.get_tracer("gatehouse", __version__)

    def start(self) -> None:
        """Send, from now on, what has ended."""
        self.provider.add_span_processor(
            BatchSpanProcessor(OTLPSpanExporter())
        )

    async def close(self) -> None:
        """Send what is left, if the collector takes it in time."""
        loop, sent = asyncio.get_running_loop(), asyncio.Event()

        def send() -> None:
            self.provider.shutdown()
            loop.call_soon_threadsafe(sent.set)

        # A daemon, so that no collector keeps a process from ending.
        threading.Thread(target=send, daemon=True).start()
        try:
            async with asyncio.timeout(OTEL_FLUSH_SECONDS):
                await sent.wait()
        except TimeoutError:
            pass
