"""The search for secrets over the whole run finds what is planted."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import asyncpg
import pytest

from app.dev.config import ROOT
from tests.fixtures.audit import new_id
from tests.fixtures.leaks import note_rows
from tests.fixtures.ledger import LEDGER, Leak, Ledger
from tests.fixtures.servers import Servers
from tests.fixtures.tokens import Issuer

PASSWORD = "s3cret/of:the%admin"
PLANTED = """\
import asyncio, logging
import httpx, structlog
from websockets.client import ClientProtocol
from websockets.uri import parse_uri
from tests.fixtures.ledger import note_line
from tests.fixtures.tokens import encode_token

structlog.configure([note_line, structlog.processors.KeyValueRenderer()])
URL = "http://127.0.0.1:9"
TOKEN = encode_token(
    {"alg": "HS256"}, b'{"preferred_username": "somebody"}', b"key"
)
ISSUED = {"access_token": f"ey{TOKEN}", "token_type": "bearer"}


def ask(method, path, answer, **request):
    transport = httpx.MockTransport(lambda _: answer)
    with httpx.Client(transport=transport) as client:
        client.request(method, URL + path, **request)


def test_nothing():
    ask("GET", "/authors", httpx.Response(200, json={"data": []}))
    ask("POST", "/auth/login", httpx.Response(200, json=ISSUED))


def test_body():
    ask("GET", "/me", httpx.Response(200, text=f"it is {TOKEN[9:]}"))


def test_header():
    ask("GET", "/me", httpx.Response(401, headers={"x-said": TOKEN}))


def test_async_body():
    async def get():
        answer = httpx.Response(200, text=TOKEN)
        transport = httpx.MockTransport(lambda _: answer)
        async with httpx.AsyncClient(transport=transport) as client:
            await client.get(f"{URL}/there")
    asyncio.run(get())


def test_refused_login():
    said = {"detail": "Wrong: Pa55-of-a-person"}
    ask("POST", "/auth/login", httpx.Response(401, json=said),
        json={"password": "Pa55-of-a-person"})


def test_form():
    ask("POST", "/token", httpx.Response(400, text="h1dden-in-a-form"),
        data={"client_secret": "h1dden-in-a-form"})


def test_cookie():
    cookie = {"set-cookie": "AUTH_SESSION=h3ld-by-a-browser; Path=/"}
    ask("GET", "/realms/x", httpx.Response(200, headers=cookie))
    ask("GET", "/me", httpx.Response(200, text="h3ld-by-a-browser"))


def test_used():
    headers = {"Authorization": "Bearer of-good-n3ws-for-all"}
    ask("GET", "/", httpx.Response(200, text="of-good-n3ws-for-all"),
        headers=headers)


def test_socket():
    client = ClientProtocol(parse_uri("ws://127.0.0.1:9/web"))
    refusal = f"HTTP/1.1 401 No\\r\\nx: {TOKEN}\\r\\n\\r\\n"
    client.receive_data(refusal.encode())


def test_line():
    structlog.get_logger().debug("asked", headers={"authorization": TOKEN})


def test_traceback():
    try:
        raise ValueError(TOKEN)
    except ValueError:
        structlog.get_logger().exception("failed")


def test_library():
    logging.getLogger("library").warning("sent %s", TOKEN)
"""


@pytest.fixture
def token(issuer: Issuer) -> str:
    """A token of some length."""
    return issuer.mint()


@pytest.fixture
def ledger(token: str) -> Ledger:
    """A ledger of its own that knows a token and a password."""
    ledger = Ledger()
    ledger.keep("token", token)
    ledger.keep("password", PASSWORD)
    ledger.keep("password", "reader")
    return ledger


SAID: dict[str, tuple[str, Callable[[str], str]]] = {
    "whole": ("token", lambda token: token),
    "in JSON": ("token", lambda token: f'{{"token":"{token}"}}'),
    "in a query": ("token", lambda token: f"Authorization=Bearer%20{token}&x"),
    "beginning": ("token", lambda token: token[:-20]),
    "end": ("token", lambda token: token[-60:]),
    "middle": ("token", lambda token: f"x{token.split('.')[1][5:36]}x"),
    "password": ("password", lambda _: f"postgresql://u:{PASSWORD}@h/d"),
    "encoded": ("password", lambda _: f"p={quote(PASSWORD, '')}&u=x"),
}


@pytest.mark.parametrize("way", SAID)
def test_a_secret_is_found(ledger: Ledger, token: str, way: str) -> None:
    """Whole or in part, and whatever is around it."""
    kind, said = SAID[way]
    ledger.note("here", "nothing")
    ledger.note("there", said(token))
    assert {Leak(kind, "there")} == ledger.search()
    assert set() == ledger.search()


def test_other_text_is_let_through(ledger: Ledger, issuer: Issuer) -> None:
    """Ids, long words, users' names and tokens that nobody has kept."""
    for said in (new_id(), "x" * 10_000, "reader", issuer.mint(sub="other")):
        ledger.note("here", said.rpartition(".")[2])
    assert set() == ledger.search()


def test_a_word_of_the_code_is_no_secret(ledger: Ledger) -> None:
    """Fuzzers send such words as tokens, and metrics are called so."""
    for word in (
        "operator_keycloak_calls_total",
        "a.metric_with_a_name.of_it",
    ):
        ledger.keep("refresh token", word)
        ledger.note("metrics", f"# TYPE {word} counter")
    assert set() == ledger.search()


def test_a_leak_shows_no_secret(ledger: Ledger, token: str) -> None:
    """Not even where the place has it in its name."""
    ledger.note(f"answer of GET /{token}", token)
    (leak,) = ledger.search()
    assert Leak("token", "answer of GET /….….…") == leak


def test_planted_leaks_fail_a_run(tmp_path: Path) -> None:
    """Each is an error of its test that names kind and place alone."""
    file = tmp_path / "test_planted.py"
    file.write_text(PLANTED, encoding="utf-8")
    options = ("-p", "tests.fixtures.leaks", "-p", "no:cacheprovider")
    run = subprocess.run(
        (sys.executable, "-m", "pytest", *options, "-c", os.devnull, file),
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=100,
    )
    planted = PLANTED.count("\ndef test_") - 1
    assert f"{planted + 1} passed, {planted} errors" in run.stdout
    found = {line for line in run.stdout.splitlines() if " in " in line}
    assert {
        "Bearer credentials in answer of GET /",
        "client secret in answer of POST /token",
        "cookie in answer of GET /me",
        "password in answer of POST /auth/login",
        "token in answer of GET /there",
        "token in answer of GET /me",
        "token in log line 'asked'",
        "token in log line 'failed'",
        "token in log line of library",
        "token in socket",
    } <= found


async def test_rows_are_searched(migrated: Servers, token: str) -> None:
    """What a user has done, and what is to be pushed."""
    connection = await asyncpg.connect(migrated.database_url)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(
        "INSERT INTO outbox (key, body) VALUES ($1, $2)",
        new_id(),
        token.encode(),
    )
    await note_rows(connection)
    await transaction.rollback()
    await connection.close()
    assert {Leak("token", "table outbox")} == LEDGER.search()
