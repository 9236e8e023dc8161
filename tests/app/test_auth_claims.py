"""What a token says of its bearer, of its purpose and of its time."""

from time import time
from typing import Any

import pytest

from app.auth import AuthBackend
from app.constants import (
    TOKEN_LEEWAY_SECONDS,
    TOKEN_MAX_CLOCK_SKEW_SECONDS,
)
from app.schemas.user import UserModel
from tests.fixtures.tokens import (
    CLIENT,
    Clock,
    Issuer,
    reason,
)


async def test_a_token_names_its_user(
    issuer: Issuer, auth_backend: AuthBackend
) -> None:
    """Everything the service knows of a user comes from the token."""
    token = issuer.mint(
        sub="1",
        preferred_username="ann",
        exp=2_000_000_000,
        iat=1_900_000,
        jti="j",
        sid="s",
        realm_access={"roles": ["reader", "offline_access"]},
        resource_access={
            CLIENT: {"roles": ["editor"]},
            "account": {"roles": ["manage-account"]},
        },
    )
    expected = UserModel(
        id="1",
        username="ann",
        roles=frozenset({"reader", "offline_access", "editor"}),
        expires_at=2_000_000_000,
        issued_at=1_900_000,
        session_id="s",
        token_id="j",
    )
    assert expected == await auth_backend.authenticate(token)


async def test_a_token_may_say_little(
    issuer: Issuer, auth_backend: AuthBackend
) -> None:
    """Without a name the subject is the name; roles may be missing."""
    token = issuer.mint(
        sub="1", preferred_username=None, realm_access=None, sid=None
    )
    user = await auth_backend.authenticate(token)
    assert "1" == user.username
    assert frozenset() == user.roles
    assert None is user.session_id


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": CLIENT, "azp": "other"},
        {"aud": ["account", CLIENT], "azp": None},
        {"aud": None, "azp": CLIENT},
        {"iat": None},
        {"nbf": 0},
    ],
    ids=str,
)
async def test_good_claims(
    issuer: Issuer, auth_backend: AuthBackend, claims: dict[str, Any]
) -> None:
    """Our client is the audience or the requester; `iat` may be missing."""
    user = await auth_backend.authenticate(issuer.mint(**claims))
    assert "reader" == user.username


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"typ": "Refresh"}, "The token is not an access token"),
        ({"typ": "ID"}, "The token is not an access token"),
        ({"typ": "bearer"}, "The token is not an access token"),
        ({"typ": None}, "The token is not an access token"),
        ({"iss": "http://evil"}, "The token is not from this issuer"),
        ({"azp": "other"}, "The token is for another audience"),
        ({"azp": None, "aud": None}, "The token is for another audience"),
        (
            {"azp": None, "aud": [CLIENT + "2", "x" + CLIENT]},
            "The token is for another audience",
        ),
        (
            {"azp": None, "aud": "x" + CLIENT},
            "The token is for another audience",
        ),
        ({"exp": 1}, "The token has expired"),
        ({"nbf": 4_000_000_000}, "The token is not valid yet"),
        ({"iat": 4_000_000_000}, "The token was issued in the future"),
    ],
    ids=str,
)
async def test_bad_claims(
    issuer: Issuer,
    auth_backend: AuthBackend,
    claims: dict[str, Any],
    expected: str,
) -> None:
    """A token that breaks a rule is refused with the rule it broke."""
    assert expected == reason(auth_backend, issuer.mint(**claims))


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"iss": None},
        {"exp": None},
        {"exp": "2000000000"},
        {"exp": True},
        {"exp": float("nan")},
        {"exp": float("inf")},
        {"exp": -1},
        {"exp": 2**53},
        {"exp": 10**40},
        {"exp": 1e300},
        {"exp": {}},
        {"nbf": "0"},
        {"iat": []},
        {"aud": 7},
        {"aud": [7]},
        {"azp": ["gatehouse"]},
        {"typ": 7},
        {"preferred_username": {"a": 1}},
        {"sid": 7},
        {"realm_access": "admin"},
        {"realm_access": ["admin"]},
        {"realm_access": {"roles": "admin"}},
        {"realm_access": {"roles": [["admin"]]}},
        {"resource_access": ["admin"]},
        {"resource_access": {CLIENT: ["admin"]}},
        {"resource_access": {CLIENT: {"roles": {"admin": True}}}},
    ],
    ids=str,
)
async def test_claims_of_the_wrong_type(
    issuer: Issuer, auth_backend: AuthBackend, claims: dict[str, Any]
) -> None:
    """A claim that is not what it should be makes the token a bad one."""
    expected = "The token's claims are missing or malformed"
    assert expected == reason(auth_backend, issuer.mint(**claims))


@pytest.mark.parametrize(
    "payload",
    [b"", b"x", b"[]", b"null", b"\xff\xfe", b"[" * 10_000, b'{"a":' * 2000],
    ids=lambda payload: repr(payload[:8]),
)
async def test_payloads_that_are_no_claims(
    issuer: Issuer, auth_backend: AuthBackend, payload: bytes
) -> None:
    """A signed payload that is no JSON object is refused."""
    expected = "The token's claims are missing or malformed"
    assert expected == reason(auth_backend, issuer.mint(payload=payload))


async def test_a_token_ends_to_the_second(
    issuer: Issuer, auth_backend: AuthBackend, clock: Clock
) -> None:
    """A token is good before its `exp` and bad from then on, known or not."""
    until = int(time()) + 300
    token, unseen = issuer.mint(exp=until), issuer.mint(exp=until, sub="2")
    clock.ahead = 298
    assert until == (await auth_backend.authenticate(token)).expires_at
    clock.ahead = 300
    assert "The token has expired" == reason(auth_backend, token)
    assert "The token has expired" == reason(auth_backend, unseen)
    clock.ahead = 0
    assert until == (await auth_backend.authenticate(token)).expires_at


async def test_clocks_may_differ(
    issuer: Issuer, auth_backend: AuthBackend
) -> None:
    """`nbf` forgives seconds, and `iat` a clock that is a minute late."""
    assert TOKEN_MAX_CLOCK_SKEW_SECONDS > 60
    now = int(time())
    near: dict[str, Any] = {
        "nbf": now + TOKEN_LEEWAY_SECONDS - 1,
        "iat": now + TOKEN_MAX_CLOCK_SKEW_SECONDS - 1,
    }
    assert (
        "reader"
        == (await auth_backend.authenticate(issuer.mint(**near))).username
    )
    late = issuer.mint(nbf=now + TOKEN_LEEWAY_SECONDS + 5)
    assert "The token is not valid yet" == reason(auth_backend, late)
    early = issuer.mint(iat=now + TOKEN_MAX_CLOCK_SKEW_SECONDS + 5)
    assert "The token was issued in the future" == reason(auth_backend, early)
