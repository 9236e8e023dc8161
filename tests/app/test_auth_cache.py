"""A token is verified once, and forgotten when it has to be."""

import asyncio
import json
from math import inf

import pytest

from app.auth import AuthBackend
from app.exceptions import Unavailable
from app.utils.jwks import JWKSCache
from tests.fixtures.tokens import (
    CLIENT,
    Issuer,
    at_once,
    ec_key,
    encode,
    reason,
)


async def test_a_known_token_does_not_suspend(
    issuer: Issuer, auth_backend: AuthBackend
) -> None:
    """With a warm key no request waits, and the same user is returned."""
    token = issuer.mint()
    first = at_once(auth_backend.authenticate(token))
    issuer.stop()
    assert first is at_once(auth_backend.authenticate(token))
    assert 1 == issuer.fetches


async def test_the_cache_is_bounded(
    issuer: Issuer, issuer_keys: JWKSCache
) -> None:
    """The token that was not seen for longest makes room for a new one."""
    auth_backend = AuthBackend(issuer_keys, issuer.url, CLIENT, cache_size=2)
    ann, bob, eve = (issuer.mint(sub=sub) for sub in ("ann", "bob", "eve"))
    first_ann = at_once(auth_backend.authenticate(ann))
    first_bob = at_once(auth_backend.authenticate(bob))
    assert first_ann is at_once(auth_backend.authenticate(ann))
    at_once(auth_backend.authenticate(eve))
    assert first_ann is at_once(auth_backend.authenticate(ann))
    assert first_bob is not at_once(auth_backend.authenticate(bob))
    assert 2 == len(auth_backend._users)


async def test_the_cache_holds_no_token(
    issuer: Issuer, auth_backend: AuthBackend
) -> None:
    """What is kept of a token is its digest and what it said."""
    token = issuer.mint()
    await auth_backend.authenticate(token)
    kept = repr(vars(auth_backend))
    assert [] == [part for part in token.split(".") if part in kept]


async def test_a_removed_key_takes_its_tokens_along(
    issuer: Issuer, issuer_keys: JWKSCache, auth_backend: AuthBackend
) -> None:
    """A token that was accepted is refused once its key is withdrawn."""
    token = issuer.mint()
    await auth_backend.authenticate(token)
    issuer.keys = [ec_key()]
    await issuer_keys.refresh()
    assert "The token's key is not known" == reason(auth_backend, token)
    assert (
        "reader" == (await auth_backend.authenticate(issuer.mint())).username
    )


async def test_concurrent_first_requests_make_one_fetch(
    issuer: Issuer,
) -> None:
    """200 concurrent tokens of a key never seen cost one fetch."""
    keys = JWKSCache(issuer.settings(), min_refresh_seconds=inf)
    auth_backend = AuthBackend(keys, issuer.url, CLIENT)
    tokens = [issuer.mint(sub=str(number)) for number in range(200)]
    users = await asyncio.gather(*map(auth_backend.authenticate, tokens))
    await keys.close()
    assert [str(number) for number in range(200)] == [u.id for u in users]
    assert 1 == issuer.fetches


async def test_random_kids_make_one_fetch(
    issuer: Issuer, auth_backend: AuthBackend
) -> None:
    """A flood of made-up kids is refused without asking Keycloak."""
    payload = encode(json.dumps(issuer.claims()).encode())
    for number in range(300):
        header = {"alg": "RS256", "kid": f"made-up-{number}"}
        token = f"{encode(json.dumps(header).encode())}.{payload}.AA"
        assert "The token's key is not known" == reason(auth_backend, token)
    assert 1 == issuer.fetches


async def test_an_outage_from_signed_in_users(issuer: Issuer) -> None:
    """Keycloak away: known keys serve, others are 503, then picked up."""
    keys = JWKSCache(issuer.settings(), min_refresh_seconds=0)
    auth_backend = AuthBackend(keys, issuer.url, CLIENT)
    await auth_backend.authenticate(issuer.mint())
    issuer.stop()
    assert "2" == (await auth_backend.authenticate(issuer.mint(sub="2"))).id
    rotated = issuer.mint(key=ec_key())
    with pytest.raises(Unavailable):
        await auth_backend.authenticate(rotated)
    issuer.keys = [ec_key()]
    issuer.start()
    assert "reader" == (await auth_backend.authenticate(rotated)).username
    await keys.close()
