"""Both protocols are one service: the README's tour, and its races."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import ClientConnection

from app.api.ws.constants import PkgID, RSPCode
from tests.fixtures.service import AsUser, MakeService, Service
from tests.fixtures.sockets import ask, open_socket

SignIn = Callable[[str], str]


async def test_what_the_socket_writes_http_reads(
    service: Service,
    client: httpx.AsyncClient,
    as_user: AsUser,
    sign_in: SignIn,
) -> None:
    """An editor creates over the socket; a reader reads it over HTTP."""
    async with open_socket(service, sign_in("editor")) as socket:
        reply = await ask(socket, PkgID.CREATE_AUTHOR, {"name": "Ada"})
    author = reply["data"]
    answer = await client.get(
        f"/authors/{author['id']}", headers=as_user("reader")
    )
    assert author == answer.json()


async def test_ten_at_once_create_one_author(
    service: Service,
    client: httpx.AsyncClient,
    as_user: AsUser,
    sign_in: SignIn,
) -> None:
    """Over both protocols mixed, one succeeds and nine conflict."""

    async def over_http() -> int:
        answer = await client.post(
            "/authors", json={"name": "Twice"}, headers=as_user("editor")
        )
        return answer.status_code

    async def over_socket(socket: ClientConnection) -> int:
        reply = await ask(socket, PkgID.CREATE_AUTHOR, {"name": "Twice"})
        return {RSPCode.OK: 201, RSPCode.CONFLICT: 409}[reply["status_code"]]

    async with (
        open_socket(service, sign_in("editor")) as first,
        open_socket(service, sign_in("editor")) as second,
    ):
        sockets = [over_socket(socket) for socket in (first, second)]
        http = [over_http() for _ in range(8)]
        statuses = await asyncio.gather(*sockets, *http)
    assert {201: 1, 409: 9} == Counter(statuses)


@pytest.fixture
def actions_file(tmp_path: Path) -> Path:
    """A copy of the role map that may be edited."""
    copy = tmp_path / "actions.json"
    copy.write_text(Path("actions.json").read_text())
    return copy


def let_admins_list_authors(actions_file: Path) -> None:
    """Edit the role map: nobody else may list authors any more."""
    role_map = json.loads(actions_file.read_text())
    role_map["ws"]["GET_AUTHORS"] = "admin"
    role_map["http"]["/authors"]["GET"] = "admin"
    actions_file.write_text(json.dumps(role_map))


async def test_an_edit_of_the_map_is_in_force_on_open_sockets(
    make_service: MakeService,
    as_user: AsUser,
    sign_in: SignIn,
    actions_file: Path,
) -> None:
    """Within a second, on both protocols; a bad edit changes nothing."""
    with make_service(actions_file_path=actions_file) as service:
        token = sign_in("reader")
        async with (
            open_socket(service, token) as socket,
            httpx.AsyncClient(
                base_url=service.url, headers=as_user("reader")
            ) as client,
        ):

            async def denied() -> tuple[bool, bool]:
                reply = await ask(socket, PkgID.GET_AUTHORS)
                answer = await client.get("/authors")
                return (
                    RSPCode.PERMISSION_DENIED == reply["status_code"],
                    answer.status_code == httpx.codes.FORBIDDEN,
                )

            assert (False, False) == await denied()
            edited = time.monotonic()
            await asyncio.to_thread(let_admins_list_authors, actions_file)
            while (True, True) != await denied():
                assert time.monotonic() - edited < 1
            await asyncio.to_thread(actions_file.write_text, '{"roles": [')
            good_again = time.monotonic() + 0.6
            while time.monotonic() < good_again:
                assert (True, True) == await denied()
