"""Nothing secret gets past the scrubber, and nothing else is changed."""

import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.utils.scrub import scrub

TOKEN = (
    "eyJhbGciOiJSUzI1NiIsImtpZCI6ImZpcnN0In0."
    "eyJzdWIiOiI3ZDFlM2E1MiIsInR5cCI6IkJlYXJlciJ9."
    "c2lnbmF0dXJl-c2lnbmF0dXJl_c2lnbmF0dXJlc2lnbmF0dXJl"
)
PASSWORD = "s3cret/of:the%admin"

ORDINARY = [
    "token expired",
    "The token is missing",
    "The token's claims are missing or malformed",
    "bearer of good news",
    "The Authorization header is not a bearer token",
    "not a bearer token: it has expired",
    "a token: bad signature",
    "tokens: 5, max_tokens=12, token_type=bearer",
    "see http://127.0.0.1:8080/realms/gatehouse?next=a@b",
    "SECRETS_DIR: is missing",
    "keyJoinedToTable and surveyJson",
    '{"event": "request", "path": "/authors", "status": 200}',
    '{"task": "token", "status": "password", "of": "cookie"}',
    '{"event": "task", "token": null, "digest": "' + "0f" * 32 + '"}',
]

TOLD = [
    "{}",
    "Authorization: Bearer {}",
    "authorization: bearer {}",
    "GET /web?Authorization=Bearer%20{}&x=1 HTTP/1.1",
    "GET /web?Authorization=Bearer+{} HTTP/1.1",
    "next=%2Fweb%3FAuthorization%3DBearer%2520{}",
    "Sec-WebSocket-Protocol: gatehouse.v1, bearer.{}",
    "['gatehouse.v1', 'bearer.{}']",
    "[(b'host', b'x'), (b'authorization', b'Bearer {}')]",
    '{{"token": "{}", "other": 1}}',
    '{{"token":"{}"}}',
    "{{'access_token': '{}', 'refresh_token': '{}'}}",
    "refresh_token={}&client_id=gatehouse",
    "%7B%22token%22%3A%22{}%22%7D",
    "token: {}",
]


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_stays(text: str) -> None:
    """Words that only look like a secret's neighbours are kept."""
    assert text == scrub(text)


@pytest.mark.parametrize("text", TOLD)
@pytest.mark.parametrize("part", ["all", "beginning", "end"])
def test_a_token_is_removed(text: str, part: str) -> None:
    """In every way it comes, also if one end of it is missing."""
    parts = {"all": TOKEN, "beginning": TOKEN[:-30], "end": TOKEN[20:]}
    scrubbed = scrub(text.replace("{}", parts[part]))
    assert [] == remains(scrubbed, TOKEN.partition(".")[2])


def remains(text: str, secret: str, length: int = 12) -> list[str]:
    """Return what of a secret is in a text."""
    pieces = [secret[n : n + length] for n in range(len(secret) - length + 1)]
    return [piece for piece in pieces if piece in text]


@pytest.mark.parametrize(
    "text",
    [
        f"password={quote(PASSWORD, '')}&username=x",
        f"DB_PASSWORD={PASSWORD}",
        f"password: {PASSWORD}",
        json.dumps({"username": "x", "password": PASSWORD}),
        json.dumps({"event": json.dumps({"password": PASSWORD})}),
        repr({"password": PASSWORD}),
        f"postgresql://gatehouse:{quote(PASSWORD, '')}@db:5432/gatehouse",
        f"redis://:{quote(PASSWORD, '')}@redis:6379/0",
        f"grant_type=password&password={quote_plus(PASSWORD)}",
        f"client_secret={quote(PASSWORD, '')}",
        f"Authorization: Basic {PASSWORD}",
        f"Cookie: a=b; session={PASSWORD}; c=d",
    ],
)
def test_a_password_is_removed(text: str) -> None:
    """Where its name or its place tells that it is one."""
    scrubbed = scrub(text)
    for form in (PASSWORD, quote(PASSWORD, ""), quote_plus(PASSWORD)):
        assert [] == remains(scrubbed, form, 6)


@example(password="ends in a \\", indent=None)
@given(password=st.text(min_size=6), indent=st.sampled_from([None, 1]))
def test_json_stays_json(password: str, indent: int | None) -> None:
    """Whatever a password consists of, the line can still be read."""
    body = json.dumps({"password": password, "n": 1}, indent=indent)
    line = json.dumps({"event": f"bad body {body}", "password": password})
    read = json.loads(scrub(line))
    assert "[removed]" == read["password"]
    assert {"password": "[removed]", "n": 1} == json.loads(
        read["event"].removeprefix("bad body ")
    )


@given(text=st.text())
def test_it_takes_any_text(text: str) -> None:
    """It never fails, and twice removes no more than once."""
    once = scrub(f"token {text} password={text}")
    assert once == scrub(once)
