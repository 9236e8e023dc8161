"""Ports: are they free, and if not, which variable helps."""

import itertools
import random
import socket
from errno import EACCES, EADDRNOTAVAIL
from typing import Final

from app.dev.config import LOOPBACK
from app.dev.errors import StartFailed

_LISTENERS: Final = range(12000, 30000)
_DRAWN: Final = itertools.cycle(
    random.SystemRandom().sample(_LISTENERS, len(_LISTENERS))
)


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Say whether a server could listen there now."""
    return _fault(port, host) is None


def _fault(port: int, host: str) -> OSError | UnicodeError | None:
    """Return what keeps a server from listening there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except (OSError, UnicodeError) as error:
            return error
    return None


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
    """Refuse a port that is taken, and a host that is not this one.

    Raises:
        StartFailed: Nobody can listen there; the message names the variable.
    """
    fault = _fault(port, host)
    if fault is None:
        return
    if isinstance(fault, UnicodeError | socket.gaierror) or (
        fault.errno == EADDRNOTAVAIL
    ):
        raise StartFailed(f"HOST: {host!r} is no address of this machine")
    if fault.errno == EACCES:
        raise StartFailed(
            f"Port {port} of {name} may not be used "
            f"({fault.strerror}); set {variable} to another port"
        )
    raise StartFailed(
        f"Port {port} of {name} is taken; "
        f"stop what listens there or set {variable} to another port"
    )
