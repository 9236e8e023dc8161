"""Only tokens that Keycloak signed, with an algorithm we accept."""

import json
from typing import Any

import pytest
from joserfc.jwk import RSAKey

from app.auth import AuthBackend
from app.utils.jwks import JWKSCache
from tests.fixtures.tokens import (
    CLIENT,
    Issuer,
    ec_key,
    encode,
    encode_token,
    reason,
    rsa_key,
)

STRANGER = RSAKey.generate_key(2048, {"alg": "RS256", "kid": "first"})
"""Somebody else's key, under the kid of ours."""


async def test_es256_is_accepted(
    issuer: Issuer, issuer_keys: JWKSCache
) -> None:
    """Realms may sign with elliptic curves."""
    issuer.keys = [ec_key()]
    await issuer_keys.refresh()
    auth_backend = AuthBackend(issuer_keys, issuer.url, CLIENT)
    user = await auth_backend.authenticate(issuer.mint())
    assert "reader" == user.username


async def test_none_is_not_accepted(
    issuer: Issuer, auth_backend: AuthBackend
) -> None:
    """An unsigned token is refused for its algorithm, however spelt."""
    expected = "The token's algorithm is not accepted"
    for alg in ("none", "None", "nOnE"):
        header = {"alg": alg}
        token = issuer.mint(alg="none", header=header)
        assert expected == reason(auth_backend, token)


async def test_the_public_key_is_no_secret(
    issuer: Issuer, auth_backend: AuthBackend
) -> None:
    """HS256 with anything that is public for a secret is refused."""
    expected = "The token's algorithm is not accepted"
    public = rsa_key().as_dict(private=False)
    for secret in (
        rsa_key().as_pem(private=False),
        rsa_key().as_der(private=False),
        str(public["n"]).encode(),
        json.dumps(public).encode(),
    ):
        assert expected == reason(auth_backend, issuer.mint(key=secret))


@pytest.mark.parametrize(
    "alg", ["HS512", "RS384", "RS512", "PS256", "EdDSA", "rs256", "", "dir"]
)
async def test_other_algorithms_are_not_accepted(
    issuer: Issuer, auth_backend: AuthBackend, alg: str
) -> None:
    """Only RS256 and ES256 are accepted, whatever the key could do."""
    token = issuer.mint(header={"alg": "RS256"})
    header = encode(json.dumps({"alg": alg, "kid": "first"}).encode())
    forged = ".".join([header, *token.split(".")[1:]])
    expected = "The token's algorithm is not accepted"
    assert expected == reason(auth_backend, forged)


async def test_a_valid_signature_of_another_algorithm_is_refused(
    issuer: Issuer, auth_backend: AuthBackend
) -> None:
    """Even our own key's PS256 and RS512 signatures are not accepted."""
    payload = json.dumps(issuer.claims()).encode()
    for alg in ("PS256", "RS512"):
        token = encode_token({"alg": alg, "kid": "first"}, payload, rsa_key())
        expected = "The token's algorithm is not accepted"
        assert expected == reason(auth_backend, token)


async def test_another_key_under_our_kid(
    issuer: Issuer, auth_backend: AuthBackend
) -> None:
    """A kid is a name, not a proof."""
    expected = "The token's signature is not valid"
    assert expected == reason(auth_backend, issuer.mint(key=STRANGER))


async def test_the_header_brings_no_keys(
    issuer: Issuer, auth_backend: AuthBackend
) -> None:
    """A key or an address in the header is not looked at."""
    own = STRANGER.as_dict(private=False)
    for member in (
        {"jwk": own},
        {"jku": f"{issuer.base_url}/evil"},
        {"x5u": f"{issuer.base_url}/evil"},
    ):
        token = issuer.mint(key=STRANGER, header=member)
        expected = "The token's signature is not valid"
        assert expected == reason(auth_backend, token)
        genuine = await auth_backend.authenticate(issuer.mint(header=member))
        assert "reader" == genuine.username
    assert 1 == issuer.fetches


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ({"kid": None}, "The token does not name its key"),
        ({"kid": ""}, "The token does not name its key"),
        ({"kid": "unknown"}, "The token's key is not known"),
        ({"kid": 7}, "The token's header is malformed"),
        ({"kid": ["first"]}, "The token's header is malformed"),
        ({"crit": ["exp"]}, "The token has an unknown critical header"),
        ({"crit": []}, "The token has an unknown critical header"),
        (
            {"crit": ["b64"], "b64": False},
            "The token has an unknown critical header",
        ),
        ({"pad": "x" * 5000, "kid": "no"}, "The token's key is not known"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_bad_headers(
    issuer: Issuer,
    auth_backend: AuthBackend,
    header: dict[str, Any],
    expected: str,
) -> None:
    """A header that names no key of ours, or asks for more, is refused."""
    assert expected == reason(auth_backend, issuer.mint(header=header))


async def test_null_is_a_critical_header(
    issuer: Issuer, auth_backend: AuthBackend
) -> None:
    """`crit` is refused by its presence, whatever its value."""
    payload = json.dumps(issuer.claims()).encode()
    header = {"alg": "RS256", "kid": "first", "crit": None}
    expected = "The token has an unknown critical header"
    token = encode_token(header, payload, rsa_key())
    assert expected == reason(auth_backend, token)


@pytest.mark.parametrize(
    "header",
    [b"", b"x", b"[]", b"null", b"\xff", b"[" * 9000, b'{"a":' * 2000],
    ids=lambda header: repr(header[:8]),
)
async def test_headers_that_are_none(
    auth_backend: AuthBackend, header: bytes
) -> None:
    """A header that is no JSON object is refused."""
    expected = "The token's header is malformed"
    assert expected == reason(auth_backend, f"{encode(header)}.e30.AA")


async def test_a_deep_header_is_refused(
    issuer: Issuer, auth_backend: AuthBackend
) -> None:
    """However deep a header nests, it is refused and nothing overflows."""
    payload = encode(json.dumps(issuer.claims()).encode())
    for depth in (100, *range(600, 1100), 3000):
        deep = "[" * depth + "]" * depth
        header = f'{{"alg": "RS256", "kid": "first", "pad": {deep}}}'
        assert reason(auth_backend, f"{encode(header.encode())}.{payload}.AA")
