"""A process that is short of something refuses who is new, and goes on."""

import asyncio
import json
import os
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager

import httpx
import psutil
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus

from app.api.ws.constants import PkgID, RSPCode
from app.constants import ADMISSION_MAX_REFUSED
from tests.fixtures.processes import SERVE, ServiceProcess, StartService
from tests.fixtures.sockets import ask

SignIn = Callable[[str], str]
OK = RSPCode.OK
FILES = 128
CLIENTS = 100
SECONDS = 20
STOPPED, GOES = 0.9, 0.1
LIMITED = f"""\
import resource, runpy
resource.setrlimit(resource.RLIMIT_NOFILE, ({FILES}, {FILES}))
runpy.run_module("app", run_name="__main__")
"""
RECKLESS = f"""\
from app import constants
constants.ADMISSION_SPARE_FILES = -1_000_000
{LIMITED}"""
STRANGERS = 5
WARY = f"""\
from app import constants
constants.ADMISSION_MAX_STRANGERS = {STRANGERS}
import runpy
runpy.run_module("app", run_name="__main__")
"""
SMALL = {
    "DB_POOL_SIZE": "5",
    "DB_READ_POOL_SIZE": "5",
    "REDIS_MAX_CONNECTIONS": "10",
}


def runs(code: str) -> tuple[str, ...]:
    """Return the command that serves from this code."""
    return ("-c", code, *SERVE[2:])


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """What a test has opened."""
    async with AsyncExitStack() as stack:
        yield stack


async def opened(
    service: ServiceProcess, token: str | None, stack: AsyncExitStack
) -> ClientConnection | str:
    """Open a socket, or say how that was refused."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    connection = connect(
        service.ws_url, additional_headers=headers, proxy=None
    )
    try:
        return await stack.enter_async_context(connection)
    except InvalidStatus as error:
        response = error.response
        wait = response.headers["Retry-After"]
        assert wait == str(json.loads(response.body)["retry_after"])
        return f"{response.status_code} {wait}"
    except (OSError, InvalidHandshake):
        return "cut off"


async def first_words(service: ServiceProcess, stack: AsyncExitStack) -> bytes:
    """Return what a client is told who asks nothing and does not leave."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    stack.callback(writer.close)
    try:
        return await reader.read(len(b"HTTP/1.1 503"))
    except ConnectionError:
        return b""


async def statuses(sockets: list[ClientConnection], pkg_id: PkgID) -> set[int]:
    """Ask on every socket at once, and return what was answered."""
    replies = await asyncio.gather(*(ask(s, pkg_id) for s in sockets))
    return {reply["status_code"] for reply in replies}


async def probes(service: ServiceProcess) -> list[int]:
    """Return what the probes say on the management port."""
    async with httpx.AsyncClient(base_url=service.management_url) as client:
        paths = ("/livez", "/readyz")
        return [(await client.get(path)).status_code for path in paths]


async def metric(service: ServiceProcess, series: str) -> float:
    """Read one series."""
    async with httpx.AsyncClient(base_url=service.management_url) as client:
        lines = (await client.get("/metrics")).text.splitlines()
    (found,) = [line for line in lines if line.startswith(series)]
    return float(found.rpartition(" ")[2])


async def until_let_in(
    service: ServiceProcess, token: str, stack: AsyncExitStack
) -> ClientConnection:
    """Try until a socket is open."""
    found: ClientConnection | str = ""
    async with asyncio.timeout(SECONDS):
        while isinstance(found, str):
            found = await opened(service, token, stack)
    return found


async def output_of(service: ServiceProcess) -> str:
    """End a service that runs, and return what it has said."""
    assert service.process.returncode is None
    service.signal(signal.SIGKILL)
    await service.ended()
    return "\n".join(service.lines)


async def test_beyond_a_few_refused_clients_are_cut_off(
    start_service: StartService, sign_in: SignIn, stack: AsyncExitStack
) -> None:
    """Who reads why he is refused has a descriptor; not everybody may."""
    token = sign_in("reader")
    async with start_service(runs(LIMITED), **SMALL) as service:
        room = range(FILES // 2)
        await asyncio.gather(*(opened(service, token, stack) for _ in room))
        others = range(ADMISSION_MAX_REFUSED + 5)
        told = await asyncio.gather(
            *(first_words(service, stack) for _ in others)
        )
    assert Counter({b"HTTP/1.1 503": ADMISSION_MAX_REFUSED, b"": 5}) == (
        Counter(told)
    )


async def test_one_address_has_only_so_many_unfinished_heads(
    start_service: StartService, sign_in: SignIn, stack: AsyncExitStack
) -> None:
    """Nor sockets that do not sign in; what is signed in goes on."""
    token = sign_in("reader")
    signed_in = {"Authorization": f"Bearer {token}"}
    shed = 'connections_shed_total{short_of="strangers"}'
    async with (
        start_service(runs(WARY)) as service,
        httpx.AsyncClient(base_url=service.url, headers=signed_in) as client,
    ):
        await client.get("/me")
        slow = [
            await asyncio.open_connection("127.0.0.1", service.port)
            for _ in range(STRANGERS)
        ]
        for _, writer in slow:
            stack.callback(writer.close)
            writer.write(b"GET /me HTTP/1.1\r\n")
        assert b"HTTP/1.1 503" == await first_words(service, stack)
        assert 1 == await metric(service, shed)
        assert [200, 200] == await probes(service)
        assert 200 == (await client.get("/me")).status_code
        for _, writer in slow:
            writer.write(b"Host: x\r\n\r\n")
        for reader, _ in slow:
            assert b" 401 " in await reader.readline()
        sockets = [
            await opened(service, None, stack) for _ in range(STRANGERS)
        ]
        refused = await opened(service, None, stack)
        assert isinstance(refused, str)
        assert refused.startswith("503 ")
        (known, *_) = sockets
        assert not isinstance(known, str)
        await ask(known, PkgID.AUTHENTICATE, {"token": token})
        assert not isinstance(await opened(service, None, stack), str)
        output = await output_of(service)
    assert 1 == output.count("strangers are refused")


async def test_clients_without_a_descriptor_are_refused(
    start_service: StartService, sign_in: SignIn, stack: AsyncExitStack
) -> None:
    """Those who are there, the database and the probes have theirs."""
    token = sign_in("reader")
    async with start_service(runs(LIMITED), **SMALL) as service:
        found = await asyncio.gather(
            *(opened(service, token, stack) for _ in range(CLIENTS))
        )
        sockets = [one for one in found if isinstance(one, ClientConnection)]
        refused = Counter(one for one in found if isinstance(one, str))
        assert FILES // 2 == len(sockets)
        assert {"503 2", "cut off"} >= set(refused)
        assert ADMISSION_MAX_REFUSED <= refused["503 2"]
        assert {OK} == await statuses(sockets, PkgID.GET_AUTHORS)
        assert [200, 200] == await probes(service)
        assert refused.total() == await metric(
            service, 'connections_shed_total{short_of="files"}'
        )
        await asyncio.gather(*(one.close() for one in sockets[:10]))
        await until_let_in(service, token, stack)
        output = await output_of(service)
    assert 1 == output.count("new clients are refused")
    assert 1 == output.count("new clients are let in again")
    assert "Traceback" not in output


async def test_a_process_that_has_no_descriptor_goes_on(
    start_service: StartService, sign_in: SignIn, stack: AsyncExitStack
) -> None:
    """It closes who comes, does not spin or flood its log, and recovers."""
    token = sign_in("reader")
    async with start_service(runs(RECKLESS), **SMALL) as service:
        old = await until_let_in(service, token, stack)
        assert {OK} == await statuses([old], PkgID.GET_AUTHORS)
        process = psutil.Process(service.process.pid)
        with ExitStack() as crowd:
            address = ("127.0.0.1", service.port)
            for _ in range(2 * FILES):
                crowd.enter_context(socket.create_connection(address))
            async with asyncio.timeout(SECONDS):
                while process.num_fds() < FILES - 1:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            before = sum(process.cpu_times()[:2])
            for _ in range(20):
                assert {OK} == await statuses([old], PkgID.ME)
                await asyncio.sleep(0.05)
            assert sum(process.cpu_times()[:2]) - before < 0.5
        new = await until_let_in(service, token, stack)
        assert {OK} == await statuses([old, new], PkgID.GET_AUTHORS)
        output = await output_of(service)
    assert len(output.splitlines()) < 100


@asynccontextmanager
async def throttled(process: int) -> AsyncIterator[None]:
    """Let a process run for a tenth of the time, as a CPU quota does."""

    async def throttle() -> None:
        while True:
            os.kill(process, signal.SIGSTOP)
            await asyncio.sleep(STOPPED)
            os.kill(process, signal.SIGCONT)
            await asyncio.sleep(GOES)

    task = asyncio.create_task(throttle())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        os.kill(process, signal.SIGCONT)


async def test_sockets_are_not_opened_while_cpu_is_short(
    start_service: StartService, sign_in: SignIn, stack: AsyncExitStack
) -> None:
    """Those that are open are answered, probes too, and then all is well."""
    token = sign_in("reader")
    async with start_service(SERVE) as service:
        old = await until_let_in(service, token, stack)
        async with throttled(service.process.pid), asyncio.timeout(SECONDS):
            while "503 2" != await opened(service, token, stack):
                pass
            assert {OK} == await statuses([old], PkgID.GET_AUTHORS)
            assert 200 == (await probes(service))[0]
        new = await until_let_in(service, token, stack)
        assert {OK} == await statuses([old, new], PkgID.ME)
        output = await output_of(service)
    assert 1 <= output.count("event loop stalled")
