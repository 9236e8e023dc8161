"""What Prometheus reads: all that is promised, and nothing that clients make.

A service of its own process, so that what is found was counted there.
"""

import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from app.api.ws.constants import PkgID
from app.utils import metrics
from app.utils.exposition import exposition
from tests.fixtures.processes import SERVE, ServiceProcess, StartService
from tests.fixtures.proxy import Proxy
from tests.fixtures.servers import Servers

Series = dict[str, list[tuple[dict[str, str], float]]]

PROMISED = {
    "app_errors_total": {"error_type", "handler"},
    "app_info": {"version", "python_version", "environment"},
    "audit_dropped_total": set(),
    "audit_queue_size": set(),
    "audit_rows_total": {"outcome"},
    "auth_attempts_total": {"status"},
    "auth_token_validations_total": {"status"},
    "db_connections_active": set(),
    "db_query_duration_seconds": {"operation"},
    "db_query_errors_total": {"operation", "error_type"},
    "event_loop_lag_seconds": set(),
    "http_request_duration_seconds": {"method", "endpoint"},
    "http_requests_in_progress": {"method", "endpoint"},
    "http_requests_total": {"method", "endpoint", "status_code"},
    "jwks_refresh_total": {"result"},
    "limiter_fallback": set(),
    "outbox_dropped_total": set(),
    "outbox_size": set(),
    "pool_in_use": {"pool"},
    "rate_limit_hits_total": {"limit_type"},
    "rbac_map_info": {"revision", "digest", "source"},
    "rbac_reload_seconds": set(),
    "redis_errors_total": {"operation", "error_type"},
    "redis_operation_duration_seconds": {"operation"},
    "redis_operations_total": {"operation"},
    "ws_close_total": {"code"},
    "ws_connections_active": set(),
    "ws_connections_total": {"status"},
    "ws_message_processing_duration_seconds": {"pkg_id"},
    "ws_messages_received_total": set(),
    "ws_messages_sent_total": set(),
    "ws_push_total": set(),
    "ws_send_queue_bytes": set(),
}
"""Names and labels, as the specification and the product have them."""

AT_REST = {
    "audit_dropped_total",
    "audit_queue_size",
    "limiter_fallback",
    "outbox_dropped_total",
    "outbox_size",
    "ws_send_queue_bytes",
}
"""Metrics that are 0 as long as all is well."""


def read(text: str) -> Series:
    """Parse Prometheus' text: labels and value of each series by name."""
    found: Series = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(
                (dict(sample.labels), sample.value)
            )
    return found


async def scrape(service: ServiceProcess) -> Series:
    """Read the metrics of a service."""
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{service.management_url}/metrics")
    return read(answer.raise_for_status().text)


def value(series: Series, name: str, **labels: str) -> float:
    """Return the value of one series; 0 where there is none."""
    matching = [v for found, v in series.get(name, []) if found == labels]
    return sum(matching)


@asynccontextmanager
async def opened(
    service: ServiceProcess, token: str | None = None
) -> AsyncIterator[ClientConnection]:
    """Open a socket."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with connect(
        service.ws_url, additional_headers=headers, proxy=None
    ) as socket:
        yield socket


async def ask(socket: ClientConnection, pkg_id: int, data: Any) -> Any:
    """Send a message and return the reply."""
    message = {"pkg_id": pkg_id, "req_id": str(uuid4()), "data": data}
    await socket.send(json.dumps(message))
    while (reply := json.loads(await socket.recv()))["req_id"] != (
        message["req_id"]
    ):
        assert 100 <= reply["pkg_id"]
    return reply


async def until_pushed(service: ServiceProcess, token: str) -> None:
    """Change something, and wait until a socket is told."""
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        opened(service, token) as socket,
        httpx.AsyncClient(base_url=service.url, headers=headers) as client,
    ):
        await client.post("/authors", json={"name": str(uuid4())})
        await socket.recv()


async def token_of(service: ServiceProcess, name: str) -> str:
    """Sign a demo user in, after a wrong password."""
    async with httpx.AsyncClient(base_url=service.url) as client:
        for password in ("wrong", name):
            answer = await client.post(
                "/auth/login", json={"username": name, "password": password}
            )
    return str(answer.raise_for_status().json()["access_token"])


@pytest.fixture
def wire(servers: Servers) -> Iterator[Proxy]:
    """A wire to Redis."""
    proxy = Proxy(servers.redis_url)
    proxy.start()
    yield proxy
    proxy.stop()


@pytest.fixture
async def service(
    start_service: StartService, servers: Servers, wire: Proxy
) -> AsyncIterator[ServiceProcess]:
    """A service with limits, whose Redis can be taken away."""
    host = servers.redis_url.rpartition("@")[2].partition("/")[0]
    redis_url = servers.redis_url.replace(host, wire.url[len("http://") :])
    async with start_service(
        SERVE,
        AUTH_LOGIN_ENABLED="true",
        RATE_LIMIT_ENABLED="true",
        WS_MAX_CONNECTIONS_PER_USER="1",
        ENVIRONMENT="test",
        REDIS_URL=redis_url,
    ) as service:
        yield service


@asynccontextmanager
async def without_books(servers: Servers) -> AsyncIterator[None]:
    """Take a table away, so that what reads it runs into a mistake."""
    connection = await asyncpg.connect(servers.database_url)
    await connection.execute("ALTER TABLE book RENAME TO book_away")
    try:
        yield
    finally:
        await connection.execute("ALTER TABLE book_away RENAME TO book")
        await connection.close()


async def use_http(client: httpx.AsyncClient, servers: Servers) -> None:
    """Send requests that are served, refused and broken."""
    for path in ("/me", "/authors", "/health", "/nowhere"):
        await client.get(path)
    await client.get("/me", headers={"Authorization": "Bearer a.b.c"})
    await client.get("/me", headers={"Authorization": ""})
    made = (await client.post("/authors", json={"name": "Counted"})).json()
    path = f"/authors/{made['id']}"
    await client.put(path, json={"name": "Counted again"})
    await client.delete(path)
    async with without_books(servers):
        assert 500 == (await client.get("/books")).status_code


async def use_sockets(
    service: ServiceProcess, token: str, servers: Servers
) -> None:
    """Open, refuse and close sockets, with messages of every kind."""
    with suppress(InvalidStatus):
        async with opened(service, "bad"):
            pass
    async with opened(service, token) as socket:
        await ask(socket, PkgID.GET_AUTHORS, {})
        await ask(socket, 999, {})
        async with without_books(servers):
            await ask(socket, PkgID.GET_BOOKS, {})
        async with opened(service, token) as second:
            with suppress(ConnectionClosed):
                await second.recv()


async def test_every_metric_is_emitted(
    service: ServiceProcess, servers: Servers, wire: Proxy
) -> None:
    """Traffic with errors leaves a trace in each, with its labels."""
    token = await token_of(service, "editor")
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(
        base_url=service.url, headers=headers
    ) as client:
        await use_http(client, servers)
        await use_sockets(service, token, servers)
        await until_pushed(service, token)
        async with httpx.AsyncClient() as probe:
            await probe.get(f"{service.management_url}/health")
            wire.stop()
            until_down = f"{service.management_url}/health"
            while (await probe.get(until_down)).json()["redis"] == "up":
                pass
    series = await scrape(service)
    found = {
        name: labels_of(series, name)
        for name in PROMISED
        if name in AT_REST or moved(series, name)
    }
    assert PROMISED == found


def labels_of(series: Series, name: str) -> set[str]:
    """Return the label names of a metric's series."""
    samples = series.get(name) or series[f"{name}_count"]
    return {label for labels, _ in samples for label in labels}


def moved(series: Series, name: str) -> bool:
    """Say whether something was counted, or is there to be told."""
    samples = series.get(name, []) + series.get(f"{name}_count", [])
    return any(v > 0 or labels for labels, v in samples) or (
        name == "ws_connections_active" and bool(samples)
    )


async def test_what_is_counted(
    service: ServiceProcess, servers: Servers
) -> None:
    """Each label has the value that an operator looks for."""
    token = await token_of(service, "editor")
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(
        base_url=service.url, headers=headers
    ) as client:
        await use_http(client, servers)
    await use_sockets(service, token, servers)
    series = await scrape(service)

    def request(method: str, endpoint: str, status: str) -> float:
        return value(
            series,
            "http_requests_total",
            method=method,
            endpoint=endpoint,
            status_code=status,
        )

    assert 1 == request("GET", "unmatched", "404")
    assert 1 == request("GET", "/books", "500")
    assert 1 == request("DELETE", "/authors/{id}", "204")
    assert 2 == request("GET", "/me", "401")
    name = "ws_connections_total"
    assert [2, 1, 1] == [
        value(series, name, status=status)
        for status in ("accepted", "rejected_auth", "rejected_limit")
    ]
    name = "ws_message_processing_duration_seconds_count"
    assert [1, 1, 1] == [
        value(series, name, pkg_id=pkg_id)
        for pkg_id in ("GET_AUTHORS", "GET_BOOKS", "unknown")
    ]
    assert {"1000", "1008"} == {
        labels["code"] for labels, _ in series["ws_close_total"]
    }
    assert {"http /books", "ws GET_BOOKS"} == {
        labels["handler"] for labels, _ in series["app_errors_total"]
    }
    assert ["UndefinedTableError"] == [
        labels["error_type"] for labels, _ in series["db_query_errors_total"]
    ]
    assert 0 == value(series, "ws_connections_active")


def declared() -> dict[str, MetricWrapperBase]:
    """Return every metric of `metrics.py` by its name there."""
    module: ModuleType = metrics
    return {
        name: metric
        for name, metric in vars(module).items()
        if isinstance(metric, MetricWrapperBase)
    }


def test_what_is_declared() -> None:
    """It is what was promised, under the name that Prometheus sees."""
    assert PROMISED == {
        name: set(metric._labelnames) for name, metric in declared().items()
    }


def test_what_is_declared_is_used() -> None:
    """A metric that no code touches is an empty promise."""
    code = "".join(
        path.read_text()
        for path in Path("app").rglob("*.py")
        if path != Path("app/utils/metrics.py")
    )
    unused = [
        name for name in declared() if not re.search(rf"\b{name}\b", code)
    ]
    assert [] == unused


NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def test_names_follow_the_rules() -> None:
    """Counters end in `_total`, others don't; times are in seconds."""
    for name, metric in declared().items():
        assert NAME.fullmatch(name)
        assert metric._documentation.endswith(".")
        assert (metric._type == "counter") == name.endswith("_total")
        assert not re.search(r"_(ms|milliseconds|count|sum|bucket)$", name)
        if metric._type == "histogram":
            assert name.endswith("_seconds")


async def test_promtool_has_no_complaints(
    service: ServiceProcess, request: pytest.FixtureRequest
) -> None:
    """Prometheus' own checker, where there is one; else that is said."""
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{service.management_url}/metrics")
    assert (
        "text/plain; version=0.0.4; charset=utf-8"
        == (answer.headers["content-type"])
    )
    assert len(PROMISED) < len(read(answer.text))
    promtool = shutil.which("promtool")
    if promtool is None:
        reporter = request.config.get_terminal_writer()
        reporter.line("promtool: not run, it is not on PATH")
        return
    checked = subprocess.run(  # noqa: ASYNC221  (nothing else goes on)
        [promtool, "check", "metrics"],
        input=answer.content,
        capture_output=True,
        check=False,
    )
    assert (0, b"") == (checked.returncode, checked.stdout + checked.stderr)


async def test_steps_make_the_same_text() -> None:
    """What is made in steps is what the library makes at once."""
    for number in range(100):
        label = f'made up \\ "{number}"\n'
        metrics.http_request_duration_seconds.labels("GET", label).observe(1)

    def still(text: bytes) -> list[str]:
        lines = text.decode().splitlines()
        return [line for line in lines if line[0] == "#" or "made up" in line]

    try:
        expected = still(generate_latest(REGISTRY))
        assert expected == still(await exposition())
    finally:
        for number in range(100):
            label = f'made up \\ "{number}"\n'
            metrics.http_request_duration_seconds.remove("GET", label)
