"""Which logout tokens are believed; Keycloak's own are in test_sessions."""

import json
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from time import time
from typing import Any

import httpx
import pytest

from app.constants import LOGOUT_EVENT
from tests.fixtures.limits import DATABASE, MakeRedis, forget_counts
from tests.fixtures.service import MakeService, Service
from tests.fixtures.tokens import CLIENT, Issuer, encode_token, rsa_key

PATH = "/auth/backchannel-logout"


@pytest.fixture(scope="module")
def believed() -> Iterator[Issuer]:
    """The issuer whose tokens the service believes."""
    issuer = Issuer()
    issuer.start()
    yield issuer
    issuer.stop()


@pytest.fixture(scope="module")
def told(make_service: MakeService, believed: Issuer) -> Iterator[Service]:
    """A service that only such tokens tell of ended sessions."""
    with make_service(
        keycloak_base_url=believed.base_url,
        keycloak_issuer=believed.url,
        keycloak_service_client_secret=None,
        main_redis_db=13,
        rate_limit_enabled=False,
        auth_login_enabled=False,
    ) as service:
        yield service


@pytest.fixture
async def http(told: Service) -> AsyncIterator[httpx.AsyncClient]:
    """A client of that service."""
    async with httpx.AsyncClient(base_url=told.url) as client:
        yield client


def logout_token(
    issuer: Issuer,
    header: dict[str, Any] | None = None,
    ago: int = 0,
    **changes: Any,
) -> str:
    """A logout token, good but for the changes; None leaves one out."""
    claims = {
        "iss": issuer.url,
        "aud": CLIENT,
        "iat": int(time()) - ago,
        "exp": int(time()) + 60,
        "jti": secrets.token_hex(),
        "typ": "Logout",
        "sub": secrets.token_hex(),
        "sid": secrets.token_hex(),
        "events": {LOGOUT_EVENT: {}},
        **changes,
    }
    usual = {"alg": "RS256", "kid": rsa_key().kid, "typ": "JWT"}
    payload = json.dumps(_present(claims)).encode()
    return encode_token(
        _present({**usual, **(header or {})}), payload, rsa_key()
    )


def _present(members: dict[str, Any]) -> dict[str, Any]:
    return {name: v for name, v in members.items() if v is not None}


async def post(http: httpx.AsyncClient, token: str) -> httpx.Response:
    return await http.post(PATH, data={"logout_token": token})


async def status(http: httpx.AsyncClient, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return (await http.get("/me", headers=headers)).status_code


async def test_a_session_ends(
    http: httpx.AsyncClient, believed: Issuer
) -> None:
    """A token with `sid` ends that session and no other of the user."""
    sub, sid = secrets.token_hex(), secrets.token_hex()
    ended = believed.mint(sub=sub, sid=sid)
    other = believed.mint(sub=sub, sid="another")
    assert (200, 200) == (await status(http, ended), await status(http, other))
    answer = await post(http, logout_token(believed, sub=sub, sid=sid))
    assert (200, "no-store", b"") == (
        answer.status_code,
        answer.headers["cache-control"],
        answer.content,
    )
    assert (401, 200) == (await status(http, ended), await status(http, other))


async def test_all_sessions_of_a_user_end(
    http: httpx.AsyncClient, believed: Issuer
) -> None:
    """A token without `sid` ends what its user had when it was issued."""
    sub, now = secrets.token_hex(), int(time())
    tokens = [believed.mint(sub=sub, sid=str(n)) for n in range(2)]
    later = believed.mint(sub=sub, sid="later", iat=now + 60)
    other = believed.mint(sub=secrets.token_hex())
    token = logout_token(believed, sub=sub, sid=None, iat=now + 10)
    assert 200 == (await post(http, token)).status_code
    assert [401, 401] == [await status(http, token) for token in tokens]
    assert (200, 200) == (await status(http, later), await status(http, other))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"aud": ["account", CLIENT]},
        {"sid": None},
        {"sub": None},
        {"exp": None},
        {"header": {"typ": "logout+jwt"}},
        {"header": {"typ": None}},
        {"ago": 60},
        {"ago": -60},
    ],
    ids=str,
)
async def test_good_tokens(
    http: httpx.AsyncClient, believed: Issuer, changes: dict[str, Any]
) -> None:
    """What the standard leaves open is left open."""
    token = logout_token(believed, **changes)
    assert 200 == (await post(http, token)).status_code


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": "https://example.org"}, "is not from this issuer"),
        ({"aud": "account"}, "is for another audience"),
        ({"aud": None}, "claims are missing or malformed"),
        ({"aud": "account", "azp": CLIENT}, "is for another audience"),
        ({"events": {}}, "does not say that a session ended"),
        ({"events": None}, "claims are missing or malformed"),
        ({"events": {LOGOUT_EVENT: 1}}, "claims are missing or malformed"),
        ({"nonce": "n"}, "has a nonce"),
        ({"jti": None}, "claims are missing or malformed"),
        ({"jti": ""}, "has no jti"),
        ({"sid": None, "sub": None}, "names neither sid nor sub"),
        ({"sid": "", "sub": ""}, "names neither sid nor sub"),
        ({"iat": None}, "claims are missing or malformed"),
        ({"ago": 121}, "is not recent"),
        ({"ago": -120}, "is not recent"),
        ({"exp": 1}, "is not recent"),
        ({"header": {"typ": "at+jwt"}}, "is no logout token"),
        ({"header": {"kid": "unknown"}}, "key is not known"),
        ({"header": {"crit": ["b64"]}}, "unknown critical header"),
    ],
    ids=str,
)
async def test_bad_tokens(
    http: httpx.AsyncClient,
    believed: Issuer,
    changes: dict[str, Any],
    reason: str,
) -> None:
    """A token that breaks a rule is 400, is told which, and ends nothing."""
    sid = secrets.token_hex()
    access = believed.mint(sid=sid)
    token = logout_token(believed, **{"sid": sid, "sub": "u", **changes})
    answer = await post(http, token)
    assert (400, "no-store") == (
        answer.status_code,
        answer.headers["cache-control"],
    )
    assert reason in answer.json()["detail"]
    assert 200 == await status(http, access)


async def test_another_key_is_refused(
    http: httpx.AsyncClient, believed: Issuer
) -> None:
    """A signature that is not Keycloak's is 400, and so is none at all."""
    token = logout_token(believed)
    unsigned = token.rpartition(".")[0] + "."
    for forged in (unsigned, f"{unsigned}AAAA", "a.b.c", "junk"):
        assert 400 == (await post(http, forged)).status_code


async def test_an_access_token_ends_nothing(
    http: httpx.AsyncClient, believed: Issuer
) -> None:
    """A user cannot use his own token for one."""
    answer = await post(http, believed.mint(jti="j", aud=CLIENT))
    assert 400 == answer.status_code


async def test_a_token_is_used_once(
    http: httpx.AsyncClient, believed: Issuer
) -> None:
    """A repeated `jti` is refused."""
    token = logout_token(believed)
    statuses = [(await post(http, token)).status_code for _ in range(2)]
    assert [200, 400] == statuses


@pytest.mark.parametrize(
    "body",
    [b"", b"token=x", b"logout_token=", b"logout_token=a&logout_token=b"],
    ids=str,
)
async def test_a_form_without_the_token_is_refused(
    http: httpx.AsyncClient, body: bytes
) -> None:
    """The field must be there, once."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await http.post(PATH, content=body, headers=headers)
    assert (400, "The form has no logout_token, or several") == (
        answer.status_code,
        answer.json()["detail"],
    )


@pytest.mark.parametrize("fault", ["forged", "used", "missing"])
async def test_only_refused_tokens_are_limited(
    make_service: MakeService,
    make_redis: MakeRedis,
    believed: Issuer,
    fault: str,
) -> None:
    """Keycloak may log out as many as it likes; 70 refusals are a minute's."""
    await forget_counts(make_redis())
    used = logout_token(believed)
    bad = {"forged": f"{used}AAAA", "used": used, "missing": ""}[fault]
    with make_service(
        keycloak_base_url=believed.base_url,
        keycloak_issuer=believed.url,
        keycloak_service_client_secret=None,
        main_redis_db=DATABASE,
        rate_limit_enabled=True,
    ) as service:
        async with httpx.AsyncClient(base_url=service.url) as http:
            good = [used, *(logout_token(believed) for _ in range(99))]
            ends = Counter([(await post(http, t)).status_code for t in good])
            refused = [await post(http, bad) for _ in range(80)]
    statuses = Counter(answer.status_code for answer in refused)
    assert ({200: 100}, {400: 70, 429: 10}) == (ends, statuses)
    assert "0" == refused[69].headers["X-RateLimit-Remaining"]
    assert "Retry-After" in refused[70].headers
