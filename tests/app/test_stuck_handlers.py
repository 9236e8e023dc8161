"""Handlers that never return, or that let nobody else run."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from app.api.ws.constants import PkgID, RSPCode
from tests.fixtures.processes import GUNICORN, ServiceProcess, StartService
from tests.fixtures.sockets import ask, request
from tests.fixtures.stuck import StuckID

SignIn = Callable[[str], str]
ROLE_MAP = Path("actions.json").read_text()
SECONDS = 30
STALL_SECONDS = 0.7
STUCK = (
    *GUNICORN[:-1],
    "--timeout",
    "2",
    "tests.fixtures.stuck:application()",
)


@pytest.fixture
async def stuck(
    start_service: StartService, tmp_path: Path
) -> AsyncIterator[ServiceProcess]:
    """A service with such handlers, and little time for each."""
    role_map = json.loads(ROLE_MAP)
    role_map["http"]["/wait"] = {"GET": "*"}
    role_map["ws"] |= dict.fromkeys(StuckID.__members__, "*")
    path = tmp_path / "actions.json"
    path.write_text(json.dumps(role_map))
    async with start_service(
        STUCK, ACTIONS_FILE_PATH=str(path), REQUEST_TIMEOUT_SECONDS="0.3"
    ) as service:
        yield service


@asynccontextmanager
async def opened(
    service: ServiceProcess, token: str
) -> AsyncIterator[ClientConnection]:
    """Open a socket."""
    headers = {"Authorization": f"Bearer {token}"}
    async with connect(
        service.ws_url, additional_headers=headers, proxy=None
    ) as socket:
        yield socket


async def told(service: ServiceProcess, path: str) -> str:
    """Return what the management port says."""
    async with httpx.AsyncClient(base_url=service.management_url) as client:
        return (await client.get(path)).raise_for_status().text


async def test_a_handler_that_never_returns_is_ended(
    stuck: ServiceProcess, sign_in: SignIn
) -> None:
    """Its client is told, it is counted, and nobody else waits for it."""
    token = sign_in("reader")
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        opened(stuck, token) as socket,
        httpx.AsyncClient(base_url=stuck.url, headers=headers) as client,
    ):
        await socket.send(json.dumps(request(StuckID.WAIT)))
        waiting = asyncio.create_task(client.get("/wait"))
        assert RSPCode.OK == (await ask(socket, PkgID.ME))["status_code"]
        await told(stuck, "/livez")
        late = json.loads(await socket.recv())
        assert (StuckID.WAIT, RSPCode.TIMEOUT) == (
            late["pkg_id"],
            late["status_code"],
        )
        answer = await waiting
    assert (503, "2") == (answer.status_code, answer.headers["retry-after"])
    metrics = await told(stuck, "/metrics")
    for handler in ("http /wait", "ws WAIT"):
        labels = f'error_type="DeadlineExceeded",handler="{handler}"'
        assert f"app_errors_total{{{labels}}} 1.0" in metrics


async def test_a_handler_that_blocks(
    stuck: ServiceProcess, sign_in: SignIn
) -> None:
    """The watchdog tells how long; for ever costs a worker, not the pod."""
    token = sign_in("reader")
    async with opened(stuck, token) as socket:
        data = {"seconds": STALL_SECONDS}
        await socket.send(json.dumps(request(StuckID.BLOCK, data)))
        await told(stuck, "/livez")
        assert RSPCode.OK == json.loads(await socket.recv())["status_code"]
        metrics = await told(stuck, "/metrics")
    over = _value(metrics, "event_loop_lag_seconds_count") - _value(
        metrics, 'event_loop_lag_seconds_bucket{le="0.5"}'
    )
    assert 1 <= over
    async with asyncio.timeout(SECONDS):
        async with opened(stuck, token) as socket:
            block = request(StuckID.BLOCK, {"seconds": 10 * SECONDS})
            await socket.send(json.dumps(block))
            with pytest.raises(ConnectionClosed):
                await socket.recv()
        await stuck.until_ready(200)
        async with opened(stuck, token) as socket:
            reply = await ask(socket, PkgID.GET_AUTHORS)
    assert RSPCode.OK == reply["status_code"]


def _value(metrics: str, series: str) -> float:
    (line,) = [
        line for line in metrics.splitlines() if line.startswith(f"{series} ")
    ]
    return float(line.rpartition(" ")[2])
