"""A client that is gone without a word does not keep what he had."""

import asyncio
import json
from collections.abc import Callable

import asyncpg
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from app import constants
from app.api.ws.constants import CloseCode, PkgID, RSPCode
from app.server import uvicorn_options
from tests.app.test_server import settings
from tests.fixtures.locks import locked_authors
from tests.fixtures.processes import SERVE, StartService
from tests.fixtures.proxy import Proxy
from tests.fixtures.servers import Servers
from tests.fixtures.service import MakeService
from tests.fixtures.sockets import ask, next_reply, open_socket, request

FOUND_SECONDS = 40
SECONDS = 15
IMPATIENT = """\
import runpy
from app import constants
constants.WS_PING_SECONDS = 0.5
runpy.run_module("app", run_name="__main__")
"""


def test_a_silent_client_is_found_in_time() -> None:
    """As the contract has it."""
    options = uvicorn_options(settings())
    assert 0 < 2 * options["ws_ping_interval"] <= FOUND_SECONDS


async def test_a_dead_wire_frees_the_limit(
    start_service: StartService, sign_in: Callable[[str], str]
) -> None:
    """He may open another socket as soon as the first is found."""
    headers = {"Authorization": f"Bearer {sign_in('reader')}"}
    command = ("-c", IMPATIENT, *SERVE[2:])
    limit = {
        "RATE_LIMIT_ENABLED": "true",
        "WS_MAX_CONNECTIONS_PER_USER": "1",
    }
    async with start_service(command, **limit) as service:
        wire = Proxy(service.url)
        wire.start()
        url = wire.via(service.ws_url)
        gone = connect(
            url, additional_headers=headers, proxy=None, ping_interval=None
        )
        async with gone as socket:
            reply = await ask(socket, PkgID.ME)
            assert RSPCode.OK == reply["status_code"]
            wire.swallow()
            codes = []
            async with asyncio.timeout(SECONDS):
                while RSPCode.OK not in codes:
                    codes.append(await asked(service.ws_url, headers))
                    await asyncio.sleep(0.02)  # nobody reads its log
            wire.stop()
    assert {CloseCode.POLICY_VIOLATION, RSPCode.OK} == set(codes)


async def test_a_client_that_answers_stays(
    start_service: StartService, sign_in: Callable[[str], str]
) -> None:
    """However many pings there are."""
    headers = {"Authorization": f"Bearer {sign_in('reader')}"}
    command = ("-c", IMPATIENT, *SERVE[2:])
    async with (
        start_service(command) as service,
        connect(
            service.ws_url,
            additional_headers=headers,
            proxy=None,
            ping_interval=None,
        ) as socket,
    ):
        await asyncio.sleep(2.5)  # five pings
        reply = await ask(socket, PkgID.ME)
        assert RSPCode.OK == reply["status_code"]


async def test_a_client_that_waits_for_its_answers_stays(
    make_service: MakeService,
    sign_in: Callable[[str], str],
    migrated: Servers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While so much waits that it is read no more, no pong can be seen."""
    monkeypatch.setattr(constants, "WS_PING_SECONDS", 0.3)
    count = 2 * constants.WS_MAX_IN_FLIGHT + 1
    database = await asyncpg.connect(migrated.database_url)
    with make_service() as service:
        async with open_socket(service, sign_in("editor")) as socket:
            async with locked_authors(database):
                for number in range(count):
                    data = {"name": f"Patience {number}"}
                    message = request(PkgID.CREATE_AUTHOR, data)
                    await socket.send(json.dumps(message))
                await asyncio.sleep(1.2)  # four pings
            for _ in range(count):
                await next_reply(socket)
    await database.close()


async def asked(url: str, headers: dict[str, str]) -> int:
    """The answer to a question, or the code of the socket's close."""
    try:
        async with connect(
            url, additional_headers=headers, proxy=None
        ) as socket:
            return int((await ask(socket, PkgID.ME))["status_code"])
    except ConnectionClosed as error:
        return error.rcvd.code if error.rcvd else 0
