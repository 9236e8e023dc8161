"""Spans: what a collector is sent, and what nobody is."""

import asyncio
import json
import re
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from typing import Any, Final
from uuid import uuid4

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from websockets.asyncio.client import connect

from app.api.ws.constants import PkgID
from app.dev.config import ROOT
from tests.fixtures.ledger import LEDGER
from tests.fixtures.processes import SERVE, ServiceProcess, StartService
from tests.fixtures.servers import Servers
from tests.fixtures.sign_in import token_of
from tests.fixtures.sockets import request

PARENT: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
SEEN: Final = {"traceparent": f"00-{PARENT}-00f067aa00a902c7-01"}
SECONDS: Final = 10


class Collector:
    """Receives spans by OTLP over HTTP.

    `spans` is what it was sent; `url` is where it is.
    """

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.service: dict[str, str] = {}
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers["content-length"])
                collector.take(self.rfile.read(size))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def take(self, body: bytes) -> None:
        """Keep what was sent, for the search for secrets, too."""
        sent = ExportTraceServiceRequest.FromString(body)
        LEDGER.note("spans", str(sent))
        for resource in sent.resource_spans:
            attributes = resource.resource.attributes
            self.service |= {a.key: a.value.string_value for a in attributes}
            for scope in resource.scope_spans:
                self.spans += scope.spans

    def named(self, name: str) -> Span:
        """The only span of this name."""
        (span,) = [span for span in self.spans if span.name == name]
        return span

    def close(self) -> None:
        """Receive no more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector of spans."""
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture
async def traced(
    start_service: StartService, collector: Collector
) -> AsyncIterator[ServiceProcess]:
    """A service that is traced."""
    async with start_service(
        SERVE,
        OTEL_ENABLED="true",
        OTEL_SERVICE_NAME="books",
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        POD_NAME="pod-1",
        WS_QUERY_TOKEN_ENABLED="true",
    ) as service:
        yield service


async def end(service: ServiceProcess) -> list[dict[str, Any]]:
    """End a service, and return what it has logged."""
    service.signal(signal.SIGTERM)
    assert await service.ended() == 0
    lines = [x for x in service.lines if x.startswith("{")]
    return [json.loads(line) for line in lines]


def attributes(span: Span) -> dict[str, Any]:
    """What a span says."""
    return {
        a.key: a.value.string_value or a.value.int_value
        for a in span.attributes
    }


async def test_request_has_a_span_of_its_route(
    traced: ServiceProcess, collector: Collector, servers: Servers
) -> None:
    """It has the client's trace, no query and no path, and so has its line."""
    headers = {
        "Authorization": f"Bearer {await token_of(servers, 'editor')}",
        **SEEN,
    }
    async with httpx.AsyncClient(headers=headers) as client:
        await client.get(f"{traced.url}/authors/1?token=secret")
        await client.get(f"{traced.url}/nowhere/eyJ0")
        name = f"traced {uuid4().hex}"
        await client.post(f"{traced.url}/authors", json={"name": name})
        listed = await client.get(
            f"{traced.url}/authors/paginated", params={"name": name}
        )
        del client.headers["Authorization"]
        await client.get(f"{traced.url}/authors")
        await client.get(f"{traced.url}/health")
    lines = await end(traced)
    span = collector.named("GET /authors/{id}")
    assert (PARENT, "books", "pod-1") == (
        span.trace_id.hex(),
        collector.service["service.name"],
        collector.service["service.instance.id"],
    )
    said = attributes(span)
    assert ("/authors/{id}", "-", "/authors/{id}") == (
        said["http.route"],
        said["url.query"],
        said["url.path"],
    )
    assert (
        401
        == attributes(collector.named("GET /authors"))[
            "http.response.status_code"
        ]
    )
    assert (
        404
        == attributes(collector.named("GET unmatched"))[
            "http.response.status_code"
        ]
    )
    assert 5 == len(collector.spans)
    assert [name] == [author["name"] for author in listed.json()["data"]]
    (line,) = [x for x in lines if x.get("route") == "/authors/{id}"]
    assert (PARENT, span.span_id.hex()) == (line["trace_id"], line["span_id"])


async def test_message_has_a_span_of_its_own(
    traced: ServiceProcess, collector: Collector, servers: Servers
) -> None:
    """It begins a trace, which is linked to that of the handshake."""
    query = f"?Authorization=Bearer%20{await token_of(servers, 'editor')}"
    url = traced.url.replace("http", "ws", 1) + "/web" + query
    async with connect(url, additional_headers=SEEN, proxy=None) as web:
        for pkg_id in (PkgID.GET_AUTHORS, PkgID.DELETE_AUTHOR):
            message = request(pkg_id, {} if pkg_id == 1 else {"id": 10**9})
            await web.send(json.dumps(message))
            await web.recv()
    await end(traced)
    handshake = collector.named("WS")
    span, missing = map(
        collector.named, ("ws GET_AUTHORS", "ws DELETE_AUTHOR")
    )
    assert (PARENT, b"") == (handshake.trace_id.hex(), span.parent_span_id)
    assert [handshake.span_id] == [link.span_id for link in span.links]
    assert span.trace_id not in {handshake.trace_id, missing.trace_id}
    assert 4 == attributes(missing)["gatehouse.status_code"]
    assert Status.STATUS_CODE_UNSET == missing.status.code


async def test_a_collector_that_is_away_costs_spans_only(
    start_service: StartService,
) -> None:
    """Requests are answered and the process ends as it would without."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        async with start_service(
            SERVE,
            OTEL_ENABLED="true",
            OTEL_EXPORTER_OTLP_ENDPOINT=url,
            DRAIN_WAIT_SECONDS="0",
        ) as service:
            async with httpx.AsyncClient() as client:
                answer = await client.get(f"{service.url}/authors")
            began = monotonic()
            async with asyncio.timeout(SECONDS):
                await end(service)
    assert answer.status_code == 401
    assert monotonic() - began < SECONDS / 2


async def test_what_is_not_installed_is_named(
    servers: Servers,
) -> None:
    """Without the extra the start stops in one line."""
    hidden = "import sys; sys.modules['opentelemetry.sdk'] = None"
    run = f"{hidden}; from app import application; application()"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", run),
        env={**servers.environment, "OTEL_ENABLED": "true"},
        cwd=ROOT,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == 1
    assert re.fullmatch(
        r"OTEL_ENABLED: opentelemetry[.\w]* is not installed; it comes with"
        r" the extra `otel`\n",
        said.decode(),
    )
