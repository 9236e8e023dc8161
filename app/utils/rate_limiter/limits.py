"""What is limited, and by how much."""

from collections.abc import Awaitable

from app.constants import RATE_LIMIT_WINDOW_SECONDS
from app.exceptions import RateLimited
from app.settings import Settings
from app.types import UserId
from app.utils.ip import client_network
from app.utils.metrics import rate_limit_hits_total
from app.utils.rate_limiter.connections import ConnectionLimiter
from app.utils.rate_limiter.limiter import RateLimiter
from app.utils.rate_limiter.verdict import Verdict
from app.utils.rate_limiter.window import Limit

ADMITTED = Verdict(is_allowed=True, remaining=0, reset_seconds=0)
"""The verdict where nothing is limited; nobody is told of it."""


class Limits:
    """The limits of the contract; with `RATE_LIMIT_ENABLED` off, none.

    Every request of a signed-in user counts as his, also one that is then
    denied or found invalid, or that no route answers. An address is charged
    for what nobody has signed in for: public routes, handshakes without a
    token, and bad tokens, wherever they come. A log-out that Keycloak has
    signed is charged to nobody.

    Args:
        settings: How many of each.
        limiter: Counts requests and messages.
        connections: Counts sockets.
    """

    def __init__(
        self,
        settings: Settings,
        limiter: RateLimiter,
        connections: ConnectionLimiter,
    ) -> None:
        self.is_enabled = settings.rate_limit_enabled
        self.requests = settings.rate_limit_per_minute
        self.burst = settings.rate_limit_burst
        self._request_limit = Limit(
            self.requests, RATE_LIMIT_WINDOW_SECONDS, self.burst
        )
        self._message_limit = Limit(
            settings.ws_message_rate_limit, RATE_LIMIT_WINDOW_SECONDS, 0
        )
        self._limiter = limiter
        self._connections = connections

    def refuse_exhausted(self, address: str | None) -> None:
        """Refuse an address that has used up its budget; count nothing.

        Raises:
            RateLimited: It has.
        """
        client = client_network(address)
        verdict = self._limiter.exhausted(f"address:{client}")
        if self.is_enabled and verdict is not None:
            raise self._refusal("address", self.requests + self.burst, verdict)

    def spend_address(self, address: str | None) -> Awaitable[Verdict]:
        """Count what an address has asked for without a user.

        Raises:
            RateLimited: It was too much.
        """
        return self._spend(
            "address", client_network(address), self._request_limit
        )

    def spend_request(self, user_id: UserId) -> Awaitable[Verdict]:
        """Count a request of a user.

        Raises:
            RateLimited: It was too much.
        """
        return self._spend("http", user_id, self._request_limit)

    def spend_message(self, user_id: UserId) -> Awaitable[Verdict]:
        """Count a message of a user, whichever socket it came through.

        Raises:
            RateLimited: It was too much.
        """
        return self._spend("ws_message", user_id, self._message_limit)

    async def add_connection(self, user_id: UserId, connection: str) -> bool:
        """Count a socket, and say whether its user may have it."""
        if not self.is_enabled:
            return True
        added = await self._connections.add_connection(user_id, connection)
        if not added:
            rate_limit_hits_total.labels("ws_connection").inc()
        return added

    async def remove_connection(
        self, user_id: UserId, connection: str
    ) -> None:
        """Count a socket no more."""
        if self.is_enabled:
            await self._connections.remove_connection(user_id, connection)

    async def _spend(self, kind: str, who: str, limit: Limit) -> Verdict:
        if not self.is_enabled:
            return ADMITTED
        key = f"{kind}:{who}"
        verdict = self._limiter.decide(key, limit)
        if verdict is None:
            verdict = await self._limiter.ask(key)
        if not verdict.is_allowed:
            raise self._refusal(kind, limit.capacity, verdict)
        return verdict

    @staticmethod
    def _refusal(kind: str, limit: int, verdict: Verdict) -> RateLimited:
        rate_limit_hits_total.labels(kind).inc()
        return RateLimited(limit, verdict.reset_seconds)
