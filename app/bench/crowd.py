"""Many users with a token each, as like to Keycloak's as can be.

A user's requests and messages are limited, so that a load comes from many.
Their tokens say what the reader's own from Keycloak says, but for who it is,
and are signed with a key that is published together with Keycloak's.
"""

import json
from base64 import urlsafe_b64decode
from collections.abc import Sequence
from time import time
from typing import Any, Final
from uuid import uuid4

from joserfc import jws
from joserfc.jwk import KeySetSerialization, RSAKey

from app.types import Token

LIFE_SECONDS: Final = 3600
_ALG: Final = "RS256"
_BITS: Final = 2048


class Crowd:
    """Signs tokens.

    Args:
        model: A token of Keycloak's, which the others are to be like.
        published: Keycloak's set of keys, as it publishes it.
    """

    def __init__(self, model: Token, published: KeySetSerialization) -> None:
        self._key = RSAKey.generate_key(
            _BITS, {"use": "sig", "alg": _ALG, "kid": uuid4().hex}
        )
        keys = [*published["keys"], self._key.as_dict(private=False)]
        self.published = json.dumps({"keys": keys}).encode()
        self._claims = _payload(model)
        self._header = {"alg": _ALG, "typ": "JWT", "kid": self._key.kid}

    def tokens(self, count: int, roles: Sequence[str] = ()) -> list[Token]:
        """Return tokens of as many users, whom nobody has seen before.

        Args:
            count: How many.
            roles: What they may be besides what the model is.
        """
        return [self._token(roles, self._header) for _ in range(count)]

    def forged(self) -> Token:
        """Return a token that names a key which is not published."""
        return self._token((), {**self._header, "kid": uuid4().hex})

    def _token(self, roles: Sequence[str], header: dict[str, Any]) -> Token:
        now = int(time())
        user = str(uuid4())
        is_already = self._claims["realm_access"]["roles"]
        claims = self._claims | {
            "exp": now + LIFE_SECONDS,
            "iat": now,
            "jti": str(uuid4()),
            "sid": str(uuid4()),
            "sub": user,
            "preferred_username": user,
            "realm_access": {"roles": [*is_already, *roles]},
        }
        payload = json.dumps(claims, separators=(",", ":"))
        return Token(jws.serialize_compact(header, payload, self._key))


def _payload(token: Token) -> dict[str, Any]:
    payload = token.split(".")[1]
    padding = "=" * (-len(payload) % 4)
    claims: dict[str, Any] = json.loads(urlsafe_b64decode(payload + padding))
    return claims
