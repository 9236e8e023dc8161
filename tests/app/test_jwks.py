"""Keycloak's keys: fetched once, kept through outages, replaced in time."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OctKey, RSAKey

from app.constants import JWKS_MAX_BYTES
from app.exceptions import Unauthenticated, Unavailable
from app.utils.jwks import JWKSCache, usable_keys
from tests.fixtures.tokens import Answer, Issuer, ec_key, rsa_key

GOOD = json.dumps({"keys": [ec_key().as_dict(private=False)]}).encode()
HTML = Answer(200, b"<html><body>Sign in</body></html>", "text/html")


@pytest.fixture
async def keys(issuer: Issuer) -> AsyncIterator[JWKSCache]:
    """Yield a cache that may fetch as often as it likes."""
    keys = JWKSCache(issuer.settings(), min_refresh_seconds=0)
    yield keys
    await keys.close()


@pytest.fixture
async def patient_keys(issuer: Issuer) -> AsyncIterator[JWKSCache]:
    """Yield a cache that fetches once for tokens, and then no more."""
    keys = JWKSCache(issuer.settings(), min_refresh_seconds=inf)
    yield keys
    await keys.close()


async def test_a_known_key_costs_no_fetch(
    issuer: Issuer, keys: JWKSCache
) -> None:
    """A key that is here is returned without asking Keycloak."""
    await keys.refresh()
    for _ in range(10):
        key = await keys.key("first", "RS256")
    assert rsa_key().as_dict(private=False) == key.as_dict()
    assert 1 == issuer.fetches


async def test_concurrent_unknown_kids_share_a_fetch(
    issuer: Issuer, patient_keys: JWKSCache
) -> None:
    """200 concurrent first requests make one fetch and all get the key."""
    found = await asyncio.gather(
        *(patient_keys.key("first", "RS256") for _ in range(200))
    )
    assert 1 == issuer.fetches
    assert 1 == len({id(key) for key in found})


async def test_a_flood_of_unknown_kids_is_bounded(
    issuer: Issuer, patient_keys: JWKSCache
) -> None:
    """Kids that Keycloak does not have are refused, after one fetch."""
    for number in range(500):
        with pytest.raises(Unauthenticated, match="key is not known"):
            await patient_keys.key(f"made-up-{number}", "RS256")
    assert 1 == issuer.fetches


async def test_a_failure_is_not_repeated_at_once(
    issuer: Issuer, patient_keys: JWKSCache
) -> None:
    """Failed fetches are bounded like any other."""
    issuer.answer = HTML
    for _ in range(100):
        with pytest.raises(Unavailable):
            await patient_keys.key("first", "RS256")
    assert 1 == issuer.fetches


async def test_keys_never_had_are_unavailable(
    issuer: Issuer, keys: JWKSCache
) -> None:
    """Without Keycloak and without keys nothing can be said of a token."""
    issuer.stop()
    with pytest.raises(Unavailable):
        await keys.key("first", "RS256")
    assert not keys.ready


async def test_an_outage_leaves_the_known_keys(
    issuer: Issuer, keys: JWKSCache
) -> None:
    """While Keycloak is away old keys serve and new ones can't be judged."""
    await keys.refresh()
    issuer.stop()
    with pytest.raises(Unavailable):
        await keys.key("second", "RS256")
    assert "first" == (await keys.key("first", "RS256")).kid
    assert keys.ready


async def test_new_keys_are_picked_up_after_an_outage(
    issuer: Issuer, keys: JWKSCache
) -> None:
    """Keycloak is back with another key, and the first token brings it in."""
    await keys.refresh()
    issuer.stop()
    with pytest.raises(Unavailable):
        await keys.key("curve", "ES256")
    issuer.keys = [ec_key(), rsa_key()]
    issuer.start()
    assert "curve" == (await keys.key("curve", "ES256")).kid


async def test_a_removed_key_is_gone(issuer: Issuer, keys: JWKSCache) -> None:
    """A key that is no longer published is not kept."""
    await keys.refresh()
    issuer.keys = [ec_key()]
    await keys.refresh()
    with pytest.raises(Unauthenticated):
        await keys.key("first", "RS256")


async def test_generations_count_changes(
    issuer: Issuer, keys: JWKSCache
) -> None:
    """The generation rises with a change of the keys and only then."""
    seen = [keys.generation]
    for published in ([rsa_key()], [rsa_key()], [rsa_key(), ec_key()]):
        issuer.keys = [*published]
        await keys.refresh()
        seen.append(keys.generation)
    assert [0, 1, 1, 2] == seen


@pytest.mark.parametrize(
    "answer",
    [
        HTML,
        Answer(500, GOOD),
        Answer(302, GOOD),
        Answer(200, b""),
        Answer(200, b"[]"),
        Answer(200, b'{"keys": []}'),
        Answer(200, b'{"keys": null}'),
        Answer(200, b'{"keys": [1, 2]}'),
        Answer(200, b'{"keys": [{"kty": "RSA", "kid": "first"}]}'),
        Answer(200, b'{"keys": [{"kty": "RSA"'),
        Answer(200, b'{"keys": ' + b"[" * 100_000),
        Answer(200, GOOD + b" " * JWKS_MAX_BYTES),
    ],
    ids=lambda answer: f"{answer.status}-{answer.body[:27]!r}",
)
async def test_bad_answers_replace_nothing(
    issuer: Issuer, keys: JWKSCache, answer: Answer
) -> None:
    """An answer without a usable key is a failure; the keys stay."""
    await keys.refresh()
    issuer.answer = answer
    with pytest.raises(Unavailable):
        await keys.refresh()
    assert "first" == (await keys.key("first", "RS256")).kid


def test_only_signing_keys_of_the_algorithms_are_taken() -> None:
    """Keys for encryption, of other algorithms or without kid are left."""
    rsa = rsa_key().as_dict(private=False)
    rejected = [
        rsa | {"kid": "encryption", "use": "enc"},
        rsa | {"kid": "other-algorithm", "alg": "PS256"},
        rsa | {"kid": "oaep", "alg": "RSA-OAEP"},
        rsa | {"kid": 7},
        {name: rsa[name] for name in rsa if name != "kid"},
        rsa | {"kid": "no-number", "n": "!"},
        ECKey.generate_key("P-384", {"kid": "curve-384"}).as_dict(),
        OctKey.generate_key(256, {"kid": "symmetric"}).as_dict(),
        {"kty": "OKP", "crv": "Ed25519", "kid": "edwards", "x": "AA"},
    ]
    plain = {name: rsa[name] for name in ("kty", "n", "e")}
    accepted = [rsa, plain | {"kid": "plain"}]
    document = json.dumps({"keys": [*rejected, *accepted]}).encode()
    assert ["first", "plain"] == list(usable_keys(document))


def test_private_parts_are_not_taken() -> None:
    """A key set that gives its private keys away does not spread them."""
    leaked = rsa_key().as_dict(private=True)
    document = json.dumps({"keys": [leaked]}).encode()
    assert not usable_keys(document)["first"].is_private


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(
                ["kty", "kid", "alg", "use", "n", "e", "crv", "x", "y"]
            ),
            st.sampled_from(["RSA", "EC", "oct", "P-256", "sig", "AQAB"])
            | st.text(max_size=8)
            | st.integers()
            | st.none()
            | st.lists(st.integers(), max_size=2),
        ),
        max_size=4,
    )
)
def test_garbage_is_skipped(garbage: list[dict[str, object]]) -> None:
    """Whatever else is published, the usable key is taken."""
    good = rsa_key().as_dict(private=False)
    document = json.dumps({"keys": [*garbage, good]}).encode()
    assert "first" in usable_keys(document)


async def test_a_key_serves_its_own_algorithm_only(keys: JWKSCache) -> None:
    """An RSA key under an ES256 header is no key for that token."""
    with pytest.raises(Unauthenticated):
        await keys.key("first", "ES256")
    assert isinstance(await keys.key("first", "RS256"), RSAKey)


async def test_a_cancelled_request_leaves_the_fetch(
    issuer: Issuer, keys: JWKSCache
) -> None:
    """Who gives up waiting does not spoil the fetch for the others."""
    issuer.gate.clear()
    first = asyncio.create_task(keys.key("first", "RS256"))
    second = asyncio.create_task(keys.key("first", "RS256"))
    await asyncio.to_thread(issuer.wait_for_fetches, 1)
    first.cancel()
    await asyncio.wait([first])
    issuer.gate.set()
    assert "first" == (await second).kid
    assert 1 == issuer.fetches


async def test_a_slow_keycloak_is_away(issuer: Issuer) -> None:
    """A fetch that takes longer than the timeout has failed."""
    issuer.gate.clear()
    keys = JWKSCache(issuer.settings(keycloak_timeout_seconds=0.05))
    with pytest.raises(Unavailable):
        await keys.refresh()
    await keys.close()


async def test_closing_ends_the_fetch(issuer: Issuer, keys: JWKSCache) -> None:
    """Nothing goes on after close."""
    issuer.gate.clear()
    waiting = asyncio.create_task(keys.refresh())
    await asyncio.to_thread(issuer.wait_for_fetches, 1)
    await keys.close()
    await asyncio.wait([waiting])
    assert waiting.cancelled()


@pytest.fixture
async def running_keys(issuer: Issuer) -> AsyncIterator[JWKSCache]:
    """Yield a cache whose background task is in a hurry; no keys yet."""
    issuer.answer = Answer(503, b"")
    keys = JWKSCache(
        issuer.settings(), min_refresh_seconds=0.01, max_age_seconds=0.01
    )
    running = asyncio.create_task(keys.run())
    yield keys
    running.cancel()
    await asyncio.wait([running])
    await keys.close()


async def fetched_again(issuer: Issuer) -> None:
    """Wait until an answer given from now on has been taken.

    The second fetch from now begins when the first one is done with.
    """
    await asyncio.to_thread(issuer.wait_for_fetches, issuer.fetches + 2)


async def test_run_waits_for_keycloak(
    issuer: Issuer, running_keys: JWKSCache
) -> None:
    """A service that starts before Keycloak has keys when that is there."""
    await fetched_again(issuer)
    assert not running_keys.ready
    issuer.answer = None
    await fetched_again(issuer)
    assert running_keys.ready


async def test_run_follows_a_rotation(
    issuer: Issuer, running_keys: JWKSCache
) -> None:
    """New keys come and old ones go without any token's asking."""
    issuer.answer = None
    await fetched_again(issuer)
    before = running_keys.generation
    issuer.keys = [ec_key()]
    await fetched_again(issuer)
    assert before + 1 == running_keys.generation
    with pytest.raises(Unauthenticated):
        await running_keys.key("first", "RS256")


async def test_run_survives_an_outage(
    issuer: Issuer, running_keys: JWKSCache
) -> None:
    """Keycloak goes and comes back, and its keys are fetched again."""
    issuer.answer = None
    await fetched_again(issuer)
    issuer.stop()
    with suppress(Unavailable):
        await running_keys.refresh()  # may have begun before
    with pytest.raises(Unavailable):
        await running_keys.refresh()
    issuer.keys = [ec_key()]
    issuer.start()
    await fetched_again(issuer)
    assert "curve" == (await running_keys.key("curve", "ES256")).kid
