"""Who may still come in while a process is short of something.

What is there goes on; what is new is told to come back, and finds another
process meanwhile. Two things run short:

- File descriptors. Every client takes one, and so does every connection that
  serves him. A part of what the process may have is kept for those, so that
  it is never the database that finds none left. Clients beyond the rest are
  answered 503, and beyond a few of these cut off, because an answer takes a
  descriptor too. Should they run out all the same, libuv, below uvloop, takes
  connections with one that it has kept, and closes them.
- CPU. When the event loop has been late for a while, handshakes are answered
  503: a socket that opens costs more than one that is open, and its client
  brings more work.

Nobody need be short of anything for one address to be refused: it may only
have so many connections that have not finished a head, and so many sockets
that have not signed in.

The management port is for those who look after the process, and is never
shut.
"""

import resource
from contextlib import suppress
from time import monotonic

import structlog

from app import constants as c
from app.settings import Settings
from app.utils.metrics import connections_shed_total
from app.utils.strangers import Strangers

FILES, CPU, STRANGERS = "files", "cpu", "strangers"

logger = structlog.get_logger(__name__)


class Admission:
    """Whether this process has room for another client.

    Args:
        settings: How many connections to servers it may need.
    """

    def __init__(self, settings: Settings) -> None:
        self._management_port = settings.management_port
        self._most = _most_clients(settings)
        self._lag = 0.0
        self._short_of: str | None = None
        self._told_of_strangers = float("-inf")
        self._shed = {
            what: connections_shed_total.labels(what)
            for what in (FILES, CPU, STRANGERS)
        }
        self._strangers = Strangers(
            c.ADMISSION_MAX_STRANGERS, settings.trusted_proxies
        )

    def note_lag(self, seconds: float) -> None:
        """Take in how late the event loop was this time."""
        self._lag += (seconds - self._lag) * c.ADMISSION_LAG_WEIGHT
        if self._short_of == CPU and not self.is_late:
            self._have_enough()

    @property
    def is_late(self) -> bool:
        """Whether the event loop has been late for a while."""
        return self._lag > c.ADMISSION_LAG_SECONDS

    def never_refuses(self, port: int | None) -> bool:
        """Say whether this is the management port."""
        return port is not None and port == self._management_port

    def surplus(self, connections: int, port: int | None) -> int:
        """Say by how many clients there are more than there may be.

        Args:
            connections: How many there are, with the one in question.
            port: That which it came to.
        """
        if self.never_refuses(port):
            return 0
        if self._short_of == FILES and connections < self._most:
            self._have_enough()
        return max(0, connections - self._most)

    def take_stranger(self, address: str | None) -> bool:
        """Let in somebody who has not said who he is; count him if refused.

        Args:
            address: Where he comes from.
        """
        is_in = self._strangers.enter(address)
        if not is_in:
            self._shed[STRANGERS].inc()
            self._tell_of_strangers(address)
        return is_in

    def _tell_of_strangers(self, address: str | None) -> None:
        """Log the first of many refusals, with where they come from."""
        now = monotonic()
        if now >= self._told_of_strangers + c.ADMISSION_LOG_SECONDS:
            self._told_of_strangers = now
            logger.warning(
                "strangers are refused",
                address=address,
                most=c.ADMISSION_MAX_STRANGERS,
            )

    def know_stranger(self, address: str | None) -> None:
        """Note that somebody who was let in is none any more, or has left."""
        self._strangers.leave(address)

    def shed(self, short_of: str) -> None:
        """Count a client who is refused; say so with the first of many."""
        self._shed[short_of].inc()
        if self._short_of is None:
            logger.warning("new clients are refused", short_of=short_of)
            self._short_of = short_of

    def _have_enough(self) -> None:
        logger.info("new clients are let in again", short_of=self._short_of)
        self._short_of = None


def raise_file_limit() -> None:
    """Take all the descriptors that this process is entitled to."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # where there is a limit above it
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _most_clients(settings: Settings) -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return c.ADMISSION_MAX_CLIENTS
    own = settings.db_pool_size + settings.db_read_pool_size
    own += 3 * settings.redis_max_connections + c.ADMISSION_SPARE_FILES
    room = max(soft - own, soft // 2)
    return min(room, c.ADMISSION_MAX_CLIENTS)
