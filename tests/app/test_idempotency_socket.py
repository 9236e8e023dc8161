"""A message that writes is done once for each `req_id` of its user."""

import asyncio
import json
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
from websockets.asyncio.client import ClientConnection

from app.api.ws.constants import PkgID, RSPCode
from tests.fixtures.audit import query
from tests.fixtures.service import AsUser, MakeService, Service
from tests.fixtures.sockets import next_reply, open_socket, request

SignIn = Callable[[str], str]
CREATE = PkgID.CREATE_AUTHOR


async def send(
    socket: ClientConnection, pkg_id: PkgID, data: Any, req_id: str
) -> dict[str, Any]:
    """Send a request with this id and return its reply."""
    await socket.send(json.dumps(request(pkg_id, data, req_id=req_id)))
    return await next_reply(socket)


async def test_every_spelling_is_the_same_id(
    service: Service, sign_in: SignIn
) -> None:
    """The reply is the first's, but for the spelling that it repeats."""
    req_id = UUID("abcdef01-2345-6789-abcd-ef0123456789")
    spellings = (str(req_id), str(req_id).upper(), req_id.hex)
    replies = []
    for spelling in spellings:
        async with open_socket(service, sign_in("editor")) as socket:
            reply = await send(socket, CREATE, {"name": "Ada"}, spelling)
        replies.append(reply)
    first = replies[0]
    assert (RSPCode.OK, "Ada") == (first["status_code"], first["data"]["name"])
    assert [{**first, "req_id": s} for s in spellings] == replies
    rows = await query(service, "SELECT resource, req_id FROM user_action")
    mine = [row for row in rows if row["req_id"] in spellings]
    author = str(first["data"]["id"])
    assert [{"resource": author, "req_id": spellings[0]}] == mine


async def test_all_writes_are_done_once(
    service: Service, sign_in: SignIn
) -> None:
    """What has changed or is gone is answered as it was."""
    async with open_socket(service, sign_in("editor")) as socket:

        async def twice(pkg_id: PkgID, data: Any) -> Any:
            req_id = str(uuid4())
            first, second = [
                await send(socket, pkg_id, data, req_id) for _ in range(2)
            ]
            assert (RSPCode.OK, first) == (second["status_code"], second)
            return first["data"]

        author = await twice(CREATE, {"name": "Ada"})
        await twice(PkgID.UPDATE_AUTHOR, {"id": author["id"], "name": "Bo"})
        new = {"title": "One", "author_id": author["id"]}
        book = await twice(PkgID.CREATE_BOOK, new)
        await twice(PkgID.UPDATE_BOOK, {**new, "id": book["id"]})
        assert {} == await twice(PkgID.DELETE_BOOK, {"id": book["id"]})
        assert {} == await twice(PkgID.DELETE_AUTHOR, {"id": author["id"]})


async def test_id_of_another_write_is_a_conflict(
    service: Service, sign_in: SignIn
) -> None:
    """Other data or another `pkg_id` under the same id changes nothing."""
    req_id = str(uuid4())
    async with open_socket(service, sign_in("editor")) as socket:
        made = await send(socket, CREATE, {"name": "Ada"}, req_id)
        same = {"id": made["data"]["id"]}
        replies = [
            await send(socket, CREATE, {"name": "Bo"}, req_id),
            await send(socket, PkgID.DELETE_AUTHOR, same, req_id),
        ]
    assert [RSPCode.CONFLICT] * 2 == [r["status_code"] for r in replies]
    names = await query(service, "SELECT name FROM author")
    assert [{"name": "Ada"}] == names


async def test_error_is_not_remembered(
    service: Service, sign_in: SignIn
) -> None:
    """A write that failed may succeed under the same id."""
    req_id = str(uuid4())
    async with open_socket(service, sign_in("editor")) as socket:
        made = await send(socket, CREATE, {"name": "Ada"}, str(uuid4()))
        first = await send(socket, CREATE, {"name": "Ada"}, req_id)
        gone = {"id": made["data"]["id"]}
        await send(socket, PkgID.DELETE_AUTHOR, gone, str(uuid4()))
        second = await send(socket, CREATE, {"name": "Ada"}, req_id)
    assert (RSPCode.CONFLICT, RSPCode.OK) == (
        first["status_code"],
        second["status_code"],
    )


async def test_same_message_at_once_in_two_processes(
    make_service: MakeService, service: Service, sign_in: SignIn
) -> None:
    """One writes; all get his reply."""
    message = json.dumps(request(CREATE, {"name": "Ada"}))
    token = sign_in("editor")
    with make_service() as other:
        async with (
            open_socket(service, token) as here,
            open_socket(other, token) as there,
        ):
            sockets = (here, there) * 5
            await asyncio.gather(*(s.send(message) for s in sockets))
            replies = [await next_reply(socket) for socket in sockets]
    assert [replies[0]] * 10 == replies
    assert RSPCode.OK == replies[0]["status_code"]
    names = await query(service, "SELECT name FROM author")
    assert [{"name": "Ada"}] == names


async def test_one_name_over_both_protocols_at_once(
    service: Service,
    client: httpx.AsyncClient,
    as_user: AsUser,
    sign_in: SignIn,
) -> None:
    """Of ten who create the same name one is told that he did."""
    async with open_socket(service, sign_in("editor")) as socket:
        posts = [
            client.post(
                "/authors",
                json={"name": "Ada"},
                headers={**as_user("editor"), "Idempotency-Key": f"k{n}"},
            )
            for n in range(5)
        ]
        messages = [
            socket.send(json.dumps(request(CREATE, {"name": "Ada"})))
            for _ in range(5)
        ]
        answers = (await asyncio.gather(*posts, *messages))[:5]
        replies = [await next_reply(socket) for _ in messages]
    codes = {RSPCode.OK: 201, RSPCode.CONFLICT: 409}
    statuses = [a.status_code for a in answers if a is not None]
    statuses += [codes[reply["status_code"]] for reply in replies]
    assert [201] + [409] * 9 == sorted(statuses)
