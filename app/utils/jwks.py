"""The public keys that Keycloak signs with.

Keys are fetched for three reasons, and always by one task that everybody
who needs its result waits for:

- at the start and then every `max_age_seconds`, by `run()`, so that keys
  which Keycloak no longer publishes disappear from here too;
- by `run()` again, with a growing and jittered pause, while that fails;
- by a token whose `kid` is unknown, but only if the last attempt began at
  least `min_refresh_seconds` ago. A flood of made-up `kid`s therefore
  costs Keycloak one request in that time, and us nothing but the look-up.

Only an answer with at least one usable key replaces what is here. While
Keycloak is away or talks nonsense the keys we have go on serving, and an
unknown `kid` cannot be judged: that is `Unavailable`, not a bad token.

`generation` counts the changes of the key set. What was concluded from an
older generation (a cached claim) is void.
"""

import asyncio
from math import inf
from time import monotonic
from typing import Any, Final, NoReturn

import httpx
import msgspec
import stamina
import structlog
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import JWSRegistry

from app.constants import (
    JWKS_MAX_AGE_SECONDS,
    JWKS_MAX_BYTES,
    JWKS_MIN_REFRESH_SECONDS,
    JWKS_RETRY_DELAY_SECONDS,
)
from app.exceptions import Unauthenticated, Unavailable
from app.settings import Settings
from app.utils.metrics import jwks_refresh_total

SigningKey = RSAKey | ECKey

ALGORITHMS: Final[dict[str, type[RSAKey] | type[ECKey]]] = {
    "RS256": RSAKey,
    "ES256": ECKey,
}
"""The only algorithms a token may use, and the keys they take."""

_PUBLIC_MEMBERS: Final = (
    "kty",
    "kid",
    "use",
    "alg",
    "n",
    "e",
    "crv",
    "x",
    "y",
)
_BAD_KEY: Final = (JoseError, KeyError, TypeError, ValueError)
_BAD_ANSWER: Final = (
    httpx.HTTPError,
    msgspec.MsgspecError,
    TimeoutError,
    RecursionError,
    ValueError,
)

logger = structlog.get_logger(__name__)


class KeySet(msgspec.Struct):
    """A JSON Web Key Set as it is published."""

    keys: list[dict[str, Any]]


class JWKSCache:
    """Keeps Keycloak's signing keys by `kid`.

    Args:
        settings: Where Keycloak is and how long it may take to answer.
        min_refresh_seconds: Least time between two fetches for unknown
            `kid`s, and the longest pause between two retries.
        max_age_seconds: Age at which `run()` fetches the keys again.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        min_refresh_seconds: float = JWKS_MIN_REFRESH_SECONDS,
        max_age_seconds: float = JWKS_MAX_AGE_SECONDS,
    ) -> None:
        self.generation = 0
        self._url = f"{settings.realm_url}/protocol/openid-connect/certs"
        self._timeout = settings.keycloak_timeout_seconds
        self._client = httpx.AsyncClient(
            timeout=self._timeout, verify=settings.keycloak_tls
        )
        self._min_refresh = min_refresh_seconds
        self._max_age = max_age_seconds
        self._keys: dict[str, SigningKey] = {}
        self._flight: asyncio.Task[None] | None = None
        self._attempted_at = -inf
        self._fetched_at = -inf
        self._failed = True

    @property
    def ready(self) -> bool:
        """Whether there are keys, however old."""
        return bool(self._keys)

    async def key(self, kid: str, alg: str) -> SigningKey:
        """Return the key that a token's header names.

        It does not suspend where the key is known.

        Raises:
            Unauthenticated: Keycloak has no such key for this algorithm.
            Unavailable: Keycloak could not be asked.
        """
        if kid not in self._keys and self._may_fetch():
            await self.refresh()
        key = self._keys.get(kid)
        if key is None and self._failed:
            raise _keys_unavailable()
        if not isinstance(key, ALGORITHMS[alg]):
            raise Unauthenticated("The token's key is not known")
        return key

    async def refresh(self) -> None:
        """Fetch the keys, or wait for the fetch that is under way.

        A caller who is cancelled does not take the fetch with him.

        Raises:
            Unavailable: Keycloak is away or gave no usable key.
        """
        if self._flight is None:
            self._attempted_at = monotonic()
            self._flight = asyncio.create_task(self._fetch(), name="jwks")
        await asyncio.shield(self._flight)
        if self._failed:
            raise _keys_unavailable()

    async def run(self) -> NoReturn:
        """Keep the keys fresh until cancelled."""
        while True:
            if self._stale_in() <= 0:
                await self._refresh_persistently()
            await asyncio.sleep(self._stale_in())

    async def close(self) -> None:
        """End the fetch that is under way, and the connections."""
        if self._flight is not None:
            self._flight.cancel()
            await asyncio.wait([self._flight])
        await self._client.aclose()

    def _may_fetch(self) -> bool:
        idle = monotonic() - self._attempted_at
        return self._flight is not None or idle >= self._min_refresh

    def _stale_in(self) -> float:
        return self._fetched_at + self._max_age - monotonic()

    async def _refresh_persistently(self) -> None:
        first = min(JWKS_RETRY_DELAY_SECONDS, self._min_refresh)
        async for attempt in stamina.retry_context(
            on=Unavailable,
            attempts=None,
            timeout=None,
            wait_initial=first,
            wait_max=self._min_refresh,
            wait_jitter=first,
        ):
            with attempt:
                await self.refresh()

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                keys = usable_keys(await self._download())
        except _BAD_ANSWER as error:
            self._failed = True
            jwks_refresh_total.labels("failure").inc()
            logger.warning("keys not refreshed", reason=repr(error))
        else:
            self._take(keys)
            jwks_refresh_total.labels("success").inc()
        finally:
            self._flight = None

    def _take(self, keys: dict[str, SigningKey]) -> None:
        self._failed = False
        self._fetched_at = monotonic()
        if keys != self._keys:
            self._keys = keys
            self.generation += 1
            logger.info("keys changed", kids=sorted(keys))

    async def _download(self) -> bytes:
        # Not compressed: what is counted is what is held in memory.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        body = bytearray()
        async with self._client.stream(
            "GET", self._url, headers=headers
        ) as response:
            response.raise_for_status()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > JWKS_MAX_BYTES:
                    raise ValueError("The answer is too long")
        return bytes(body)


def _keys_unavailable() -> Unavailable:
    return Unavailable("The keys to verify tokens are not available")


def usable_keys(document: bytes) -> dict[str, SigningKey]:
    """Return the keys of a published set that can verify tokens.

    Raises:
        ValueError: There is none.
        msgspec.MsgspecError: The document is no key set.
    """
    published = msgspec.json.decode(document, type=KeySet).keys
    keys = [key for jwk in published for key in _import_key(jwk)]
    if not keys:
        raise ValueError("There is no signing key in the answer")
    return {str(key.kid): key for key in keys}


def _import_key(jwk: dict[str, Any]) -> list[SigningKey]:
    """Return the one key that this is, or none if tokens can't use it."""
    public: dict[str, Any] = {
        name: jwk[name] for name in _PUBLIC_MEMBERS if name in jwk
    }
    for alg, kind in ALGORITHMS.items():
        if jwk.get("kty") == kind.key_type and jwk.get("kid"):
            try:
                key = kind.import_key(public)
                JWSRegistry.algorithms[alg].check_key(key)
            except _BAD_KEY:
                return []
            return [key]
    return []
