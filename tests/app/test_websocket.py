"""A socket from its handshake to its close."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    asynccontextmanager,
    suppress,
)
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
from prometheus_client import REGISTRY
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from app.api.ws import websocket
from app.api.ws.constants import PkgID, RSPCode
from app.api.ws.envelope import UnreadableMessage, decode
from app.api.ws.websocket import PackageAuthWebSocketEndpoint
from app.constants import MAX_ID
from app.schemas.user import UserModel
from app.tasks import clock_watch
from tests.fixtures.servers import Servers
from tests.fixtures.service import MakeService, Service
from tests.fixtures.sockets import ask, open_socket, request
from tests.fixtures.tokens import Issuer

SignIn = Callable[[str], str]
LockedAuthors = Callable[[], AbstractAsyncContextManager[None]]
OK = RSPCode.OK.value


@pytest.fixture
def locked_authors(servers: Servers) -> LockedAuthors:
    """A block during which nobody can write an author."""

    @asynccontextmanager
    async def lock() -> AsyncIterator[None]:
        connection = await asyncpg.connect(servers.database_url)
        try:
            async with connection.transaction():
                await connection.execute("LOCK TABLE author IN SHARE MODE")
                yield
        finally:
            await connection.close()

    return lock


async def close_code(socket: ClientConnection) -> int | None:
    """Read until the socket is closed, and say with which code."""
    with suppress(ConnectionClosed):
        async for _ in socket:
            pass
    return socket.close_code


@pytest.mark.parametrize(
    ("offered", "selected"),
    [
        (["gatehouse.v1", "bearer.{token}"], "gatehouse.v1"),
        (["bearer.{token}", "gatehouse.v1"], "gatehouse.v1"),
        (["bearer.{token}"], None),
    ],
)
async def test_the_token_is_never_echoed(
    service: Service, sign_in: SignIn, offered: list[str], selected: str | None
) -> None:
    """Of the subprotocols only `gatehouse.v1` is ever selected."""
    names = [name.format(token=sign_in("reader")) for name in offered]
    async with open_socket(service, subprotocols=names) as socket:
        assert selected == socket.subprotocol


async def test_the_header_comes_before_the_query(
    service: Service, sign_in: SignIn, caplog: pytest.LogCaptureFixture
) -> None:
    """The first way that brings a token decides; a bad one is no error."""
    query = f"?Authorization=Bearer%20{sign_in('reader')}"
    with pytest.raises(InvalidStatus) as refusal:
        async with open_socket(service, "rubbish", query=query):
            pass
    assert 401 == refusal.value.response.status_code
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]


async def test_the_query_can_be_switched_off(
    make_service: MakeService, sign_in: SignIn
) -> None:
    """Without WS_QUERY_TOKEN_ENABLED a query brings no token."""
    query = f"?Authorization=Bearer%20{sign_in('reader')}"
    with make_service(
        ws_query_token_enabled=False, ws_auth_timeout_seconds=0.1
    ) as service:
        async with open_socket(service, query=query) as socket:
            assert 4408 == await close_code(socket)


@pytest.fixture(scope="module")
def with_origins(make_service: MakeService) -> Iterator[Service]:
    """A service that pages of one other site may use."""
    allowed = ("https://app.example.org",)
    with make_service(ws_allowed_origins=allowed) as service:
        yield service


@pytest.mark.parametrize(
    ("origin", "opened"),
    [
        (None, True),
        ("http://127.0.0.1:{port}", True),
        ("https://app.example.org", True),
        ("HTTPS://App.Example.org", True),
        ("https://app.example.org.evil.example", False),
        ("https://evil.example", False),
        ("http://127.0.0.1", False),
        ("null", False),
        ("", False),
    ],
)
async def test_origins_are_checked_before_anything_else(
    with_origins: Service,
    sign_in: SignIn,
    origin: str | None,
    opened: bool,
) -> None:
    """Pages of the service and of WS_ALLOWED_ORIGINS may open sockets."""
    headers = {}
    if origin is not None:
        headers["Origin"] = origin.format(port=with_origins.port)
    token = sign_in("reader") if opened else "rubbish"
    counts = {name: rejected(name) for name in ("auth", "origin")}
    try:
        async with open_socket(with_origins, token, headers=headers):
            status = 101
    except InvalidStatus as refusal:
        status = refusal.response.status_code
    assert (101 if opened else 403) == status
    counts["origin"] += not opened
    assert counts == {name: rejected(name) for name in counts}


async def test_a_draining_process_is_no_bad_token(
    with_origins: Service, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whom a process cannot have, it counts as that."""
    counts = {name: rejected(name) for name in ("auth", "unavailable")}
    monkeypatch.setattr(with_origins.container.drain, "draining", True)
    with pytest.raises(InvalidStatus):
        async with open_socket(with_origins, sign_in("reader")):
            pass
    counts["unavailable"] += 1
    assert counts == {name: rejected(name) for name in counts}


def rejected(cause: str) -> float:
    """Say how many handshakes were refused for this cause."""
    labels = {"status": f"rejected_{cause}"}
    return REGISTRY.get_sample_value("ws_connections_total", labels) or 0


async def test_no_token_in_time(make_service: MakeService) -> None:
    """A socket that nobody signs in on is closed with 4408."""
    with make_service(ws_auth_timeout_seconds=0.2) as service:
        async with open_socket(service) as socket:
            await socket.send("what I say is no token")
            reply = json.loads(await socket.recv())
            assert RSPCode.INVALID_DATA == reply["status_code"]
            assert 4408 == await close_code(socket)


async def test_a_first_message_without_a_token(service: Service) -> None:
    """Whoever asks before he signs in is answered 6 and closed 4401."""
    async with open_socket(service) as socket:
        reply = await ask(socket, PkgID.GET_AUTHORS)
        assert RSPCode.UNAUTHENTICATED == reply["status_code"]
        assert 4401 == await close_code(socket)


async def test_signing_in_with_the_first_message(
    service: Service, sign_in: SignIn
) -> None:
    """After AUTHENTICATE the socket is the user's."""
    async with open_socket(service) as socket:
        token = {"token": sign_in("editor")}
        reply = await ask(socket, PkgID.AUTHENTICATE, token)
        assert (OK, "editor") == (
            reply["status_code"],
            reply["data"]["username"],
        )
        reply = await ask(socket, PkgID.ME)
        assert "ws CREATE_AUTHOR" in reply["data"]["permissions"]["ws"]


async def test_the_socket_closes_when_the_token_ends(
    make_service: MakeService, issuer: Issuer
) -> None:
    """At `exp` it is 4401, unless the token was renewed in place."""
    with make_service(keycloak_base_url=issuer.base_url) as service:
        ends = int(time.time()) + 2
        async with (
            open_socket(service, issuer.mint(exp=ends)) as socket,
            open_socket(service, issuer.mint(exp=ends)) as renewed,
        ):
            token = {"token": issuer.mint(exp=ends + 60)}
            reply = await ask(renewed, PkgID.AUTHENTICATE, token)
            assert (OK, ends + 60) == (
                reply["status_code"],
                reply["data"]["expires_at"],
            )
            assert 4401 == await close_code(socket)
            assert abs(time.time() - ends) < 1
            reply = await ask(renewed, PkgID.ME)
            assert OK == reply["status_code"]


async def test_the_socket_closes_when_the_clock_is_set_past_the_end(
    make_service: MakeService, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What counts is the time of day, as over HTTP; others stay open."""
    later = SimpleNamespace(
        time=lambda: time.time() + 3600,
        monotonic=time.monotonic,
        perf_counter=time.perf_counter,
    )
    with make_service(keycloak_base_url=issuer.base_url) as service:
        now = int(time.time())
        async with (
            open_socket(service, issuer.mint(exp=now + 600)) as socket,
            open_socket(service, issuer.mint(exp=now + 7200)) as other,
        ):
            for module in (websocket, clock_watch):
                monkeypatch.setattr(module, "time", later)
            async with asyncio.timeout(10):
                assert 4401 == await close_code(socket)
            assert OK == (await ask(other, PkgID.ME))["status_code"]


async def test_a_renewal_while_the_socket_goes_away(
    make_service: MakeService, sign_in: SignIn
) -> None:
    """A good token is answered 0 also when no more messages are read."""
    token = sign_in("editor")
    with make_service() as service:
        container = service.container
        authenticate = container.auth.authenticate

        async def slowly(token: str) -> UserModel:
            (socket,) = container.sockets
            assert isinstance(socket, PackageAuthWebSocketEndpoint)
            socket.go_away("retry_after_ms=1")
            while socket._place is not None:  # noqa: ASYNC110  (it is soon)
                await asyncio.sleep(0)
            return await authenticate(token)

        async with open_socket(service, token) as socket:
            await ask(socket, PkgID.ME)
            container.auth.authenticate = slowly  # type: ignore[method-assign]  # ends the socket meanwhile
            reply = await ask(socket, PkgID.AUTHENTICATE, {"token": token})
            assert OK == reply["status_code"]
            assert 1012 == await close_code(socket)


@pytest.mark.parametrize("other", ["rubbish", "another user's"])
async def test_a_bad_renewal_changes_nothing(
    service: Service, sign_in: SignIn, other: str
) -> None:
    """A bad token, or another user's, is answered 6."""
    token = sign_in("admin") if other == "another user's" else other
    async with open_socket(service, sign_in("reader")) as socket:
        reply = await ask(socket, PkgID.AUTHENTICATE, {"token": token})
        assert RSPCode.UNAUTHENTICATED == reply["status_code"]
        reply = await ask(socket, PkgID.ME)
        assert "reader" == reply["data"]["username"]


@pytest.mark.parametrize(
    ("message", "code", "kept"),
    [
        ("{", 2, (None, None)),
        ("[]", 2, (None, None)),
        (b"\x00\x01", 2, (None, None)),
        ("[" * 30_000, 2, (None, None)),
        ('{"data": ' + "[" * 30_000, 2, (None, None)),
        ('{"pkg_id": 12}', 2, (12, None)),
        ('{"pkg_id": 12, "req_id": "x", "data": {}}', 2, (12, None)),
        ('{"pkg_id": 12, "req_id": "{id}\\n", "data": {}}', 2, (12, None)),
        ('{"pkg_id": true, "req_id": "{id}", "data": {}}', 2, (None, "{id}")),
        ('{"pkg_id": 12.5, "req_id": "{id}", "data": {}}', 2, (None, "{id}")),
        ('{"pkg_id": 12, "req_id": "{id}"}', 2, (12, "{id}")),
        ('{"pkg_id": 12, "req_id": "{id}", "data": 1}', 2, (12, "{id}")),
        ('{"pkg_id": 99, "req_id": "{id}", "data": {}}', 2, (99, "{id}")),
        ('{"pkg_id": -1, "req_id": "{id}", "data": {}}', 2, (-1, "{id}")),
        (
            '{"pkg_id": 3, "req_id": "{id}", "data": {"name": "\\ud800"}}',
            2,
            (3, "{id}"),
        ),
        (
            '{"pkg_id": 3, "req_id": "{id}", "data": {"name": "\\u0000"}}',
            2,
            (3, "{id}"),
        ),
        (
            '{"pkg_id": 5, "req_id": "{id}", "data": {"id": 1e400}}',
            2,
            (5, "{id}"),
        ),
        (
            '{"pkg_id": 5, "req_id": "{id}", "data": {"id": %s}}' % ("9" * 60),
            2,
            (5, "{id}"),
        ),
        (
            '{"pkg_id": 5, "req_id": "{id}", "data": {"id": 999999}}',
            4,
            (5, "{id}"),
        ),
        (
            '{"pkg_id": 1, "req_id": "{id}", "data": {"limit": 1000000000}}',
            2,
            (1, "{id}"),
        ),
        (
            '{"pkg_id": 2, "req_id": "{id}", "data": {"page": 0}}',
            2,
            (2, "{id}"),
        ),
        (
            '{"pkg_id": 1, "req_id": "{id}", "data": {"filters": {"x": 1}}}',
            2,
            (1, "{id}"),
        ),
    ],
)
async def test_a_bad_message_is_answered(
    service: Service,
    sign_in: SignIn,
    message: str | bytes,
    code: int,
    kept: tuple[int | None, str | None],
) -> None:
    """The answer says what is wrong, and the socket stays open."""
    req_id = "7d1e3a52-9f00-4000-8000-0000000000aB"
    pkg_id, echoed = kept
    if isinstance(message, str):
        message = message.replace("{id}", req_id)
    async with open_socket(service, sign_in("editor")) as socket:
        await socket.send(message)
        reply = json.loads(await socket.recv())
        assert (pkg_id, echoed and req_id, code) == (
            reply["pkg_id"],
            reply["req_id"],
            reply["status_code"],
        )
        assert reply["data"]["msg"]
        assert OK == (await ask(socket, PkgID.ME))["status_code"]


@pytest.mark.parametrize(
    ("pkg_id", "data", "location"),
    [
        (PkgID.GET_AUTHORS, {"after": "x"}, ["data", "after"]),
        (PkgID.GET_AUTHORS, {"limit": 0}, ["data", "limit"]),
        (
            PkgID.CREATE_BOOK,
            {"title": "Notes", "author_id": MAX_ID},
            ["data", "author_id"],
        ),
    ],
)
async def test_a_wrong_field_is_told_where_it_is(
    service: Service,
    sign_in: SignIn,
    pkg_id: PkgID,
    data: dict[str, Any],
    location: list[str],
) -> None:
    """It is named below `data`, whether a schema or a command refuses it."""
    async with open_socket(service, sign_in("editor")) as socket:
        reply = await ask(socket, pkg_id, data)
    assert [location] == [error["loc"] for error in reply["data"]["errors"]]


@pytest.mark.parametrize(
    ("text", "place", "kind"),
    [
        ("[" + "[" * 30_000, [], "json_type"),
        ("[]", [], "json_type"),
        ('{"pkg_id": 12}', ["req_id"], "missing"),
        ('{"pkg_id": 1.0}', ["pkg_id"], "json_type"),
    ],
)
def test_an_unreadable_message_is_told_as_a_field(
    text: str, place: list[str], kind: str
) -> None:
    """What is no JSON, what is none of ours, and what is not there."""
    with pytest.raises(UnreadableMessage) as caught:
        decode(text)
    (error,) = caught.value.errors
    assert (place, kind) == (error["loc"], error["type"])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value at character 0"),
        ("{", "Expecting property name enclosed in double quotes"),
        ('{"pkg_id": yes}', "Expecting value at character 11"),
        ('{"data": ' + "[" * 30_000, "nested too deeply"),
        ('{"pkg_id": "\\ud800"}', "a surrogate without its other half"),
    ],
)
def test_it_is_told_what_is_no_json(text: str, reason: str) -> None:
    """And where, as over HTTP."""
    with pytest.raises(UnreadableMessage) as caught:
        decode(text)
    (error,) = caught.value.errors
    assert ([], "json_invalid") == (error["loc"], error["type"])
    assert error["msg"].startswith(f"Invalid JSON: {reason}")


async def test_a_refusal_names_the_permission(
    service: Service, sign_in: SignIn
) -> None:
    """A reader who creates an author is told what he lacks."""
    async with open_socket(service, sign_in("reader")) as socket:
        reply = await ask(socket, PkgID.CREATE_AUTHOR, {"name": "Ada"})
    assert (RSPCode.PERMISSION_DENIED, "ws CREATE_AUTHOR") == (
        reply["status_code"],
        reply["data"]["msg"].removeprefix("Permission needed: "),
    )


@pytest.mark.parametrize("fragments", [1, 8])
async def test_a_message_may_be_too_big(
    service: Service, sign_in: SignIn, fragments: int
) -> None:
    """More than WS_MAX_MESSAGE_BYTES is closed with 1009."""
    size = service.settings.ws_max_message_bytes
    parts = ["x" * (size // fragments)] * fragments + ["x"]
    async with open_socket(service, sign_in("reader")) as socket:
        await socket.send("".join(parts) if fragments == 1 else parts)
        assert 1009 == await close_code(socket)


async def test_a_slow_message_holds_up_no_other(
    service: Service, sign_in: SignIn, locked_authors: LockedAuthors
) -> None:
    """Replies overtake each other, and one `req_id` has one reply."""
    async with open_socket(service, sign_in("editor")) as socket:
        async with locked_authors():
            slow = request(PkgID.CREATE_AUTHOR, {"name": "Ada Lovelace"})
            await socket.send(json.dumps(slow))
            quick = await ask(socket, PkgID.ME)
        late = json.loads(await socket.recv())
    assert (OK, OK) == (quick["status_code"], late["status_code"])
    assert slow["req_id"] == late["req_id"]


async def test_messages_in_flight_are_bounded(
    service: Service, sign_in: SignIn, locked_authors: LockedAuthors
) -> None:
    """Past WS_MAX_IN_FLIGHT a socket waits for its own replies."""
    bound = service.settings.ws_max_in_flight
    async with open_socket(service, sign_in("editor")) as socket:
        async with locked_authors():
            for number in range(bound):
                slow = request(PkgID.CREATE_AUTHOR, {"name": f"N{number}"})
                await socket.send(json.dumps(slow))
            await socket.send(json.dumps(request(PkgID.ME)))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(socket.recv(), 0.3)
        replies = [json.loads(await socket.recv()) for _ in range(bound + 1)]
    assert [OK] * (bound + 1) == [reply["status_code"] for reply in replies]
