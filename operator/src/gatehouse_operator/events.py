"""Events: what `kubectl describe` tells of a resource.

An Event's name is made of what it says, so that two replicas, or one that has
been started again, post one. What may be said again later has a `key` that
differs.
"""

import hashlib
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final

import httpx2
import structlog
from lightkube import AsyncClient
from lightkube.core.exceptions import ApiError
from lightkube.models.core_v1 import EventSource, ObjectReference
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Event

_MOST_CHARACTERS: Final = 1024
"""What the API server takes of an Event's message."""
_MOST_OF_NAME: Final = 200
"""How much of a resource's name an Event's name has."""

logger = structlog.get_logger(__name__)


class Events:
    """Posts Events in one namespace.

    Args:
        client: Of that namespace.
        component: Who says it.
    """

    def __init__(self, client: AsyncClient, component: str) -> None:
        self._client = client
        self._component = component

    async def tell(
        self,
        subject: ObjectReference,
        reason: str,
        message: str,
        *,
        key: str,
        warns: bool,
    ) -> None:
        """Post an Event, once; one that cannot be posted holds nothing up.

        Args:
            subject: What it is about.
            reason: In one word.
            message: In a sentence.
            key: Differs where the same is to be said again.
            warns: Whether somebody has to do something.
        """
        message = message[:_MOST_CHARACTERS]
        text = f"{subject.uid} {key} {reason} {message}"
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        name = (subject.name or "")[:_MOST_OF_NAME].rstrip("-.")
        now = datetime.now(UTC)
        event = Event(
            metadata=ObjectMeta(name=f"{name}.{digest}"),
            involvedObject=subject,
            type="Warning" if warns else "Normal",
            reason=reason,
            message=message,
            source=EventSource(component=self._component),
            firstTimestamp=now,
            lastTimestamp=now,
            count=1,
        )
        try:
            await self._client.create(event)
        except ApiError as error:
            if error.status.code != HTTPStatus.CONFLICT:
                _warn(error)
        except httpx2.HTTPError as error:
            _warn(error)


def _warn(error: Exception) -> None:
    logger.warning("event not posted", reason=str(error))
