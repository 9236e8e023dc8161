"""Is there an answer yet? Asked of servers on this machine, by no proxy."""

import asyncio
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

_TIMEOUT_SECONDS = 2.0


async def answers(url: str) -> bool:
    """Say whether a GET of this URL is answered with 200."""
    return await asyncio.to_thread(_answers, url)


def _answers(url: str) -> bool:
    parts = urlsplit(url)
    connection = HTTPConnection(
        parts.hostname or "", parts.port, timeout=_TIMEOUT_SECONDS
    )
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
