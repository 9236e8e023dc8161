"""Has Kubernetes end the pods with the fewest sockets first.

Of a Deployment with too many pods, the one whose `pod-deletion-cost` is the
least goes first (KEP-2255). Every change of it is a write to the API server,
so it is the number of sockets only about: a power of two. What somebody else
makes of it is put right within minutes.
"""

import asyncio
from collections import Counter
from http import HTTPStatus
from typing import Final, NoReturn

import httpx2
import structlog
from lightkube import AsyncClient
from lightkube.core.exceptions import ApiError
from lightkube.resources.core_v1 import Pod
from lightkube.types import PatchType

from gatehouse_operator.admission import DELETION_COST
from gatehouse_operator.publisher import Publisher, RedisAway

_ROUND_SECONDS: Final = 20.0
_ROUNDS_TO_REMEMBER: Final = 15
"""Rounds in which what was said is taken to hold."""

logger = structlog.get_logger(__name__)


class DeletionCosts:
    """Says of each pod what it would cost to end it.

    Args:
        client: Of the pods' namespace.
        publisher: Hears what pods say.
    """

    def __init__(self, client: AsyncClient, publisher: Publisher) -> None:
        self._client = client
        self._publisher = publisher
        self._said: dict[str, int] = {}

    async def run(self) -> NoReturn:
        """Go round until cancelled; a round that fails is made up for."""
        while True:
            self._said.clear()
            for _ in range(_ROUNDS_TO_REMEMBER):
                try:
                    await self._round()
                except (ApiError, RedisAway, httpx2.HTTPError) as error:
                    reason = str(error)
                    logger.warning("deletion costs not said", reason=reason)
                await asyncio.sleep(_ROUND_SECONDS)

    async def _round(self) -> None:
        sockets: Counter[str] = Counter()
        for one in await self._publisher.acknowledged():
            if one.host is not None:
                sockets[one.host] += one.sockets
        costs = {pod: about(count) for pod, count in sockets.items()}
        for pod, cost in costs.items():
            if self._said.get(pod) != cost:
                await self._say(pod, cost)
                self._said[pod] = cost
        self._said = {p: c for p, c in self._said.items() if p in costs}

    async def _say(self, pod: str, cost: int) -> None:
        patch = {"metadata": {"annotations": {DELETION_COST: str(cost)}}}
        try:
            await self._client.patch(
                Pod, pod, patch, patch_type=PatchType.MERGE
            )
        except ApiError as error:
            if error.status.code != HTTPStatus.NOT_FOUND:
                raise


def about(sockets: int) -> int:
    """Round a number of sockets down to a power of two; none are 0."""
    return 1 << (sockets.bit_length() - 1) if sockets > 0 else 0
