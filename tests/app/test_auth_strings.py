"""Any string at all, in the place of a token."""

import json
import random
from collections.abc import AsyncIterator
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from app.auth import AuthBackend, bearer_token
from app.constants import (
    TOKEN_MAX_BYTES,
)
from app.exceptions import Unauthenticated
from app.utils.jwks import JWKSCache
from tests.fixtures.tokens import (
    CLIENT,
    Issuer,
    encode,
    reason,
)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Bearer a.b.c", "a.b.c"),
        ("bearer a.b.c", "a.b.c"),
        ("BEARER   a.b.c ", "a.b.c"),
    ],
)
def test_bearer_tokens(header: str, expected: str) -> None:
    """The scheme is written in any case, with any number of spaces."""
    assert expected == bearer_token(header)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, "The token is missing"),
        ("", "The token is missing"),
        ("Bearer", "The Authorization header is not a bearer token"),
        ("Bearer ", "The Authorization header is not a bearer token"),
        ("a.b.c", "The Authorization header is not a bearer token"),
        ("Basic YTpi", "The Authorization header is not a bearer token"),
        ("Bearer\ta.b.c", "The Authorization header is not a bearer token"),
    ],
)
def test_headers_without_bearer_token(
    header: str | None, expected: str
) -> None:
    """A header that brings no token is refused with the reason."""
    with pytest.raises(Unauthenticated) as refused:
        bearer_token(header)
    assert expected == refused.value.detail


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "a", "a.b", "a.b.c.d", "a.b.c.d.e", "é.b.c", "\ud800.b.c"],
    ids=ascii,
)
async def test_strings_that_are_no_tokens(
    auth_backend: AuthBackend, token: str
) -> None:
    """What has not three parts of ASCII is refused before any work."""
    assert "malformed" in reason(auth_backend, token)


async def test_a_token_is_taken_to_the_letter(
    issuer: Issuer, auth_backend: AuthBackend
) -> None:
    """White space, padding and other spellings of a signature are refused."""
    token = issuer.mint()
    await auth_backend.authenticate(token)
    last = "AEIMQUYcgkosw048"
    spelling = token[:-1] + chr(ord(last[last.index(token[-1])]) + 1)
    for other in (
        f" {token}",
        f"{token} ",
        f"{token}\n",
        f"{token}=",
        f"{token}==",
        token.replace(".", " .", 1),
        token[:-10] + "\n" + token[-10:],
        token[:-10] + "!" + token[-10:],
        f"Bearer {token}",
        spelling,
        token[:-1],
        token.rpartition(".")[0] + ".",
    ):
        with pytest.raises(Unauthenticated):
            await auth_backend.authenticate(other)


async def test_the_size_limit(
    issuer: Issuer, auth_backend: AuthBackend
) -> None:
    """A token of 16 KiB is accepted and one byte more is not."""
    token = issuer.mint_sized(TOKEN_MAX_BYTES)
    assert "reader" == (await auth_backend.authenticate(token)).username
    longer = issuer.mint_sized(TOKEN_MAX_BYTES + 1)
    assert "The token is over 16384 bytes" == reason(auth_backend, longer)


async def test_reasons_hold_no_part_of_the_token(
    issuer: Issuer, auth_backend: AuthBackend
) -> None:
    """Neither a reason nor what caused it repeats what was sent."""
    for token in (
        issuer.mint(sub="", preferred_username="private"),
        issuer.mint(header={"kid": "private"}),
        issuer.mint(header={"alg": "private"}, key=b"private"),
        issuer.mint(payload=b"private\xff"),
        f"{encode(b'private' + bytes([255]))}.private.private",
        "private.é.private",
    ):
        with pytest.raises(Unauthenticated) as refused:
            await auth_backend.authenticate(token)
        assert "private" not in str(refused.value)
        assert refused.value.__cause__ is None


@pytest.fixture(scope="module")
async def lasting() -> AsyncIterator[tuple[AuthBackend, str]]:
    """Yield a auth_backend and a good token, for any number of examples."""
    issuer = Issuer()
    issuer.start()
    keys = JWKSCache(issuer.settings(), min_refresh_seconds=inf)
    await keys.refresh()
    yield AuthBackend(keys, issuer.url, CLIENT), issuer.mint()
    await keys.close()
    issuer.stop()


@given(st.text() | st.text("eyJ.-_a0=", max_size=40) | st.binary().map(encode))
def test_anything_else_is_refused(
    lasting: tuple[AuthBackend, str], text: str
) -> None:
    """No string but a token is accepted or raises anything else."""
    auth_backend, _ = lasting
    assert reason(auth_backend, text)


@given(st.randoms(use_true_random=False), st.integers(1, 3))
@examples(max_examples=300)
def test_a_changed_token_is_refused(
    lasting: tuple[AuthBackend, str], chance: random.Random, changes: int
) -> None:
    """A token with any character changed, lost, added or moved is refused."""
    auth_backend, token = lasting
    letters = [*token]
    for _ in range(changes):
        place = chance.randrange(len(letters))
        match chance.randrange(4):
            case 0:
                letters[place] = chance.choice("Aa0-_.=+/ \0é\ud800")
            case 1:
                del letters[place]
            case 2:
                letters.insert(place, chance.choice("Aa0-_.=+/ \n\0é"))
            case _:
                letters[place:] = letters[: place + 1 : -1]
    changed = "".join(letters)
    if changed != token:
        assert reason(auth_backend, changed)


@given(
    st.dictionaries(
        st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "x5c"]),
        st.sampled_from(["RS256", "ES256", "none", "first", "HS256"])
        | st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.text(max_size=3), inner, max_size=3)
            ),
            max_leaves=5,
        ),
    )
)
def test_any_header_without_our_signature_is_refused(
    lasting: tuple[AuthBackend, str], header: dict[str, Any]
) -> None:
    """Whatever the header says, an unsigned payload is not believed."""
    auth_backend, token = lasting
    _, payload, signature = token.split(".")
    segment = encode(json.dumps(header).encode())
    assert reason(auth_backend, f"{segment}.{payload}.{signature}")
