"""Probes on a port of their own."""

import json
import signal

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.fixtures.processes import SERVE, ServiceProcess, StartService

PATHS = (
    "/livez",
    "/readyz",
    "/startupz",
    "/metrics",
    "/health",
    "/authors",
    "/docs",
    "/nowhere",
)


async def statuses(url: str) -> dict[str, int]:
    """Ask for every path."""
    async with httpx.AsyncClient(base_url=url) as client:
        return {path: (await client.get(path)).status_code for path in PATHS}


async def assert_two_ports(service: ServiceProcess) -> None:
    """Each port has its own paths; no socket is on the management port."""
    ours = dict.fromkeys(PATHS, 404) | dict.fromkeys(PATHS[:5], 200)
    assert ours == await statuses(service.management_url)
    theirs = dict.fromkeys(PATHS, 404)
    theirs |= {"/health": 200, "/authors": 401, "/docs": 200}
    assert theirs == await statuses(service.url)
    url = service.management_url.replace("http", "ws") + "/web"
    with pytest.raises(InvalidStatus) as refusal:
        async with connect(url, proxy=None):
            pass
    assert 404 == refusal.value.response.status_code


async def test_two_ports(start_service: StartService) -> None:
    """One process serves both, and each has its own paths."""
    async with start_service(SERVE, DRAIN_WAIT_SECONDS="0") as service:
        await assert_two_ports(service)


async def test_two_ports_of_two_workers(start_service: StartService) -> None:
    """So do several; they end together, and what they say is JSON."""
    async with start_service(
        WEB_CONCURRENCY="2", DRAIN_WAIT_SECONDS="0"
    ) as service:
        await assert_two_ports(service)
        service.signal(signal.SIGTERM)
        assert 0 == await service.ended()
    events = [json.loads(line)["event"] for line in service.lines]
    assert [2, 2] == [events.count(e) for e in ("listening", "draining")]
    assert [e for e in events if e.startswith("Starting gunicorn")]


async def test_one_port(client: httpx.AsyncClient) -> None:
    """Without MANAGEMENT_PORT the probes are on the client port."""
    for path in PATHS[:5]:
        assert 200 == (await client.get(path)).status_code
