"""What a process says: lines that can be searched, without a secret."""

import asyncio
import io
import json
import re
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import asyncpg
import httpx
import pytest
import structlog
from structlog.processors import JSONRenderer
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from app.api.ws.constants import PkgID
from app.logging import LineLogger, _rendering, log_together, to_json
from tests.fixtures.processes import SERVE, ServiceProcess, StartService
from tests.fixtures.servers import Servers

SignIn = Callable[[str], str]
REDIS_DB = "5"
"""One in which nobody else has spent what a user may ask."""


@dataclass(frozen=True)
class Person:
    """A user of Keycloak with a password like no other text."""

    name: str
    password: str


@pytest.fixture
def person(servers: Servers) -> Iterator[Person]:
    """A user who is removed afterwards."""
    made = Person(f"p{uuid4().hex}", f"Pa5s/{uuid4().hex}")
    realm = f"{servers.keycloak_base_url}/admin/realms/{servers.realm}"
    with httpx.Client(headers=_admin(servers)) as admin:
        answer = admin.post(
            f"{realm}/users",
            json={
                "username": made.name,
                "enabled": True,
                "email": f"{made.name}@example.org",
                "firstName": "A",
                "lastName": "Person",
                "credentials": [{"type": "password", "value": made.password}],
            },
        )
        location = answer.raise_for_status().headers["location"]
        yield made
        admin.delete(location).raise_for_status()


def _admin(servers: Servers) -> dict[str, str]:
    realm = f"{servers.keycloak_base_url}/realms/master"
    answer = httpx.post(
        f"{realm}/protocol/openid-connect/token",
        data={
            "grant_type": "password",
            "client_id": "admin-cli",
            "username": servers.keycloak_admin_user,
            "password": servers.keycloak_admin_password,
        },
    )
    token = answer.raise_for_status().json()["access_token"]
    return {"Authorization": f"Bearer {token}"}


@asynccontextmanager
async def heard(service: ServiceProcess) -> AsyncIterator[list[str]]:
    """Collect what a process says until it has ended after the block."""
    output = service.process.stdout
    assert output is not None
    said: list[str] = []
    reading = asyncio.create_task(output.read())
    yield said
    service.signal(signal.SIGTERM)
    said += (await reading).decode().splitlines()
    await service.process.wait()


async def send_over_http(client: httpx.AsyncClient, token: str) -> None:
    """Send a token wherever a request has room for it."""
    for path in ("/me", "/authors", f"/authors/{token}", f"/{token}"):
        await client.get(path, headers={"Authorization": f"Bearer {token}"})
    await client.get("/me", headers={"Authorization": token})
    await client.get("/me", headers={"Cookie": f"token={token}"})
    await client.get("/me", headers={"X-Request-ID": token[:120]})
    await client.get("/me", params={"Authorization": f"Bearer {token}"})
    for body in ({"refresh_token": token}, {"username": token}, [token]):
        for path in ("/auth/refresh", "/auth/logout", "/auth/login"):
            await client.post(path, json=body)


async def send_over_sockets(service: ServiceProcess, token: str) -> None:
    """Send a token in every way that a socket knows."""
    bearer = {"Authorization": f"Bearer {token}"}
    url = service.ws_url
    query = quote(f"Bearer {token}", "")
    ways: list[tuple[str, dict[str, Any]]] = [
        (url, {"additional_headers": bearer}),
        (url, {"subprotocols": ["gatehouse.v1", f"bearer.{token}"]}),
        (f"{url}?Authorization={query}", {}),
        (f"{url}?authorization={query}&Authorization=x", {}),
        (f"{url}/{token}", {}),
        (url, {}),
    ]
    for address, options in ways:
        with suppress(InvalidStatus, ConnectionClosed):
            async with connect(address, proxy=None, **options) as socket:
                for text in messages(token):
                    await socket.send(text)
                    await socket.recv()


def messages(token: str) -> list[str]:
    """Make messages with a token, right and wrong."""
    request = {
        "pkg_id": PkgID.AUTHENTICATE,
        "req_id": str(uuid4()),
        "data": {"token": token},
    }
    text = json.dumps(request)
    return [text, text[:-2], json.dumps({"token": token}), token]


async def send_password(client: httpx.AsyncClient, person: Person) -> str:
    """Send a password, right and wrong; return the token it is good for."""
    good = {"username": person.name, "password": person.password}
    text = json.dumps(good)
    for body in (text[:-1], f"[{text}]", text.replace(person.name, "nobody")):
        await client.post("/auth/login", content=body)
    answer = await client.post("/auth/login", json=good)
    return str(answer.raise_for_status().json()["access_token"])


async def provoke_errors(
    client: httpx.AsyncClient, token: str, servers: Servers
) -> None:
    """Run into a mistake of ours, with a token and in a transaction."""
    connection = await asyncpg.connect(servers.database_url)
    await connection.execute("ALTER TABLE book RENAME TO book_away")
    try:
        headers = {"Authorization": f"Bearer {token}"}
        answer = await client.get("/books", headers=headers)
    finally:
        await connection.execute("ALTER TABLE book_away RENAME TO book")
        await connection.close()
    assert 500 == answer.status_code


async def audit_rows(servers: Servers) -> str:
    """Return everything that the audit has stored."""
    connection = await asyncpg.connect(servers.database_url)
    rows = await connection.fetch("SELECT * FROM user_action")
    await connection.close()
    return "\n".join(str(dict(row)) for row in rows)


def without_head(token: str) -> str:
    """Return a token without its header, which is no secret."""
    return token.partition(".")[2] or token


def leaked(text: str, secrets: list[str], length: int = 16) -> list[str]:
    """Return the pieces of secrets that are in a text."""
    pieces = {
        secret[start : start + length]
        for secret in secrets
        for start in range(max(1, len(secret) - length + 1))
    }
    return [piece for piece in pieces if piece in text]


async def test_nothing_says_a_secret(
    start_service: StartService,
    servers: Servers,
    person: Person,
    sign_in: SignIn,
) -> None:
    """Tokens and passwords, good and bad, are in no log and no metric."""
    editor = sign_in("editor")
    async with (
        start_service(
            SERVE, AUTH_LOGIN_ENABLED="true", LOG_LEVEL="DEBUG"
        ) as service,
        heard(service) as said,
        httpx.AsyncClient(base_url=service.url) as client,
    ):
        mine = await send_password(client, person)
        tokens = [mine, editor, editor[:-30], f"{editor[:-5]}AAAAA"]
        for token in tokens:
            await send_over_http(client, token)
            await send_over_sockets(service, token)
        await provoke_errors(client, editor, servers)
        counted = await client.get(f"{service.management_url}/metrics")
    text = "\n".join([*said, counted.text, await audit_rows(servers)])
    password = servers.database_url.partition("@")[0].rpartition(":")[2]
    secrets = [person.password, password, *map(without_head, tokens)]
    assert "unhandled exception" in text
    assert [] == leaked(text, secrets)
    assert person.name not in counted.text
    assert f"{person.name}@example.org" not in text


async def test_lines_are_json(
    start_service: StartService, sign_in: SignIn
) -> None:
    """A request can be found by its id, its user, its route, its pod."""
    request_id = uuid4().hex
    headers = {
        "Authorization": f"Bearer {sign_in('reader')}",
        "X-Request-ID": request_id,
    }
    async with (
        start_service(SERVE, POD_NAME="pod-7") as service,
        heard(service) as said,
        httpx.AsyncClient(base_url=service.url, headers=headers) as client,
    ):
        user = (await client.get("/me")).json()
        await client.get("/authors/12")
    lines = [json.loads(line) for line in said]
    needed = {"timestamp", "level", "event", "logger", "pod"}
    assert [] == [line for line in lines if needed - set(line)]
    line = [line for line in lines if line.get("request_id") == request_id][1]
    assert line.pop("timestamp")
    assert 0 < line.pop("duration_ms") < 10_000
    assert {
        "level": "info",
        "event": "request",
        "logger": "app.middlewares.context",
        "pod": "pod-7",
        "request_id": request_id,
        "user": user["id"],
        "method": "GET",
        "path": "/authors/12",
        "route": "/authors/{id}",
        "status": 404,
    } == line


async def test_a_line_is_about_its_own_request(
    start_service: StartService, sign_in: SignIn
) -> None:
    """One that waited for another on its connection has nothing of it."""
    token = sign_in("reader")
    first = f"GET /me HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}"
    both = f"{first}\r\n\r\nGET /none HTTP/1.1\r\nHost: h\r\n\r\n"
    async with start_service(SERVE) as service, heard(service) as said:
        host, port = service.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(both.encode())
        for _ in range(2):
            await reader.readuntil(b"HTTP/1.1 ")
        writer.close()
    lines = [json.loads(line) for line in said]
    known = {
        line["path"]: ("user" in line, len(line["request_id"]))
        for line in lines
        if line["event"] == "request" and line["path"] != "/livez"
    }
    assert {"/me": (True, 32), "/none": (False, 32)} == known


async def test_a_line_names_a_user_who_is_refused(
    start_service: StartService, sign_in: SignIn
) -> None:
    """Also who has asked too often, and may not."""
    headers = {"Authorization": f"Bearer {sign_in('reader')}"}
    async with (
        start_service(
            SERVE,
            RATE_LIMIT_ENABLED="true",
            RATE_LIMIT_PER_MINUTE="2",
            RATE_LIMIT_BURST="0",
            MAIN_REDIS_DB=REDIS_DB,
        ) as service,
        heard(service) as said,
        httpx.AsyncClient(headers=headers) as client,
    ):
        for path in ("/me", "/audit-logs", "/me"):
            await client.get(service.url + path)
    lines = [json.loads(line) for line in said]
    known = [
        (line["status"], "user" in line)
        for line in lines
        if line["event"] == "request" and line["path"] != "/livez"
    ]
    assert [(200, True), (403, True), (429, True)] == known


def test_a_person_reads_numbers() -> None:
    """On a console a status is as in JSON, and not a name of Python's."""
    said: Any = {"event": "request", "status": HTTPStatus.FORBIDDEN}
    for process in _rendering("console"):
        said = process(None, "info", said)
    assert "status=403" in re.sub(r"\x1b\[[0-9;]*m", "", said)


@pytest.mark.parametrize(
    "said",
    ["a", "\u00e9\u2028\x85", "\ud800", 2**70, ZeroDivisionError, ()],
)
def test_a_line_is_ascii_whatever_is_said(said: Any) -> None:
    """No character ends a line, or means something to a terminal."""
    event = {"event": said, "nothing": None}
    line = to_json(event)
    assert (True, True) == (line.isascii(), line.isprintable())
    assert json.loads(json.dumps(event, default=repr)) == json.loads(line)
    assert line.endswith(',"nothing":null}')  # one form, for who greps


class Written(io.RawIOBase):
    """A file that keeps what it was given at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[bytes] = []

    def writable(self) -> bool:
        """Say that it can be written to."""
        return True

    def write(self, part: Any) -> int:
        """Keep a part."""
        self.parts.append(bytes(part))
        return len(part)


def unchanged(_: Any, __: str, event: Any) -> Any:
    """Do nothing to an event."""
    return event


@pytest.fixture
def as_json() -> Iterator[None]:
    """Events of this process are lines of JSON."""
    before = structlog.get_config()
    structlog.configure(
        processors=[unchanged, unchanged, JSONRenderer(), unchanged],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        logger_factory=LineLogger,
    )
    yield
    structlog.configure(**before)


@pytest.mark.usefixtures("as_json")
def test_lines_logged_together_are_written_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Other lines are written one by one, as soon as they are said."""
    written = Written()
    out = io.TextIOWrapper(io.BufferedWriter(written), encoding="utf-8")
    monkeypatch.setattr("sys.stdout", out)
    logger = LineLogger()
    logger.info("a")
    assert [b"a\n"] == written.parts
    log_together("b", [{"event": "c", "user": "u"}, {"event": "d"}], [])
    _, both = written.parts
    lines = both.decode().splitlines()
    assert [("c", "u"), ("d", None)] == [
        (line["event"], line.get("user")) for line in map(json.loads, lines)
    ]
    logger.info("e")
    assert b"e\n" == written.parts[-1]


@pytest.mark.usefixtures("as_json")
def test_a_secret_takes_no_other_line_along(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One without an end is missing to the end of its own line."""
    secrets = ("/b?token=0123456789", '/c "password": "0123456789')
    paths = ("/a", *secrets, "/d")
    events = [{"event": "request", "path": path} for path in paths]
    log_together("b", events, paths)
    out = capsys.readouterr().out
    assert "0123456789" not in out
    first, second, _, last = out.splitlines()
    assert ["/a", "/b?token=[removed]", "/d"] == [
        json.loads(line)["path"] for line in (first, second, last)
    ]


async def test_ends_are_not_logged_where_nobody_wants_it(
    start_service: StartService,
) -> None:
    """Probes never are, and nothing is without the access log."""
    async with (
        start_service(SERVE, ACCESS_LOG_ENABLED="false") as service,
        heard(service) as said,
        httpx.AsyncClient() as client,
    ):
        await client.get(f"{service.url}/nowhere")
    assert [] == [
        line for line in said if json.loads(line)["event"] == "request"
    ]
    async with (
        start_service(SERVE) as service,
        heard(service) as said,
        httpx.AsyncClient() as client,
    ):
        await client.get(f"{service.url}/nowhere")
        await client.get(f"{service.management_url}/metrics")
    lines = [json.loads(line) for line in said]
    paths = [line["path"] for line in lines if line["event"] == "request"]
    assert ["/nowhere"] == paths
