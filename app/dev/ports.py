"""Ports: are they free, and if not, which variable helps."""

import itertools
import random
import socket
from typing import Final

from app.dev.config import LOOPBACK
from app.dev.errors import StartFailed

_LISTENERS: Final = range(12000, 30000)
_DRAWN: Final = itertools.cycle(
    random.SystemRandom().sample(_LISTENERS, len(_LISTENERS))
)


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Say whether a server could listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a port that nothing listens on, and that no client is given.

    Systems give clients the ports from 32768 or 49152 on, so that one which
    is free there may be taken before anybody listens. Each port is returned
    once before any is again: who asks twice gets two.
    """
    return next(filter(is_free, _DRAWN))


def require_free(
    port: int, name: str, variable: str, host: str = LOOPBACK
) -> None:
    """Refuse a port that is taken.

    Raises:
        StartFailed: Something listens there; the message names the variable.
    """
    if not is_free(port, host):
        raise StartFailed(
            f"Port {port} of {name} is taken; "
            f"stop what listens there or set {variable} to another port"
        )
