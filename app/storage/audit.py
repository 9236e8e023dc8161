"""What a user does, from its start to its row.

An `Action` is made when it is known who asks for what, and has exactly one
row in the end: a write's in the write's own transaction
(`managers/recorder.py`), every other by way of the `AuditQueue`, which a task
empties (`tasks/audit_writer.py`). A request so never waits for its row.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from http import HTTPStatus
from itertools import islice
from time import perf_counter, time
from typing import Final

import msgspec
import structlog

from app.api.ws.constants import RSPCode
from app.constants import AUDIT_ENOUGH_ROWS, MAX_NAME_LENGTH
from app.schemas.user import UserModel
from app.types import AuditOutcome, Protocol
from app.utils import metrics
from app.utils.scrub import scrub

# As plain numbers: comparing members of an enum costs ten times as much.
_OK: Final = int(RSPCode.OK)
_HTTP_OK: Final = int(HTTPStatus.OK)
_HTTP_BAD_REQUEST: Final = int(HTTPStatus.BAD_REQUEST)
_DENIED: Final = frozenset(
    map(int, (RSPCode.PERMISSION_DENIED, HTTPStatus.FORBIDDEN))
)

STORED: Final = metrics.Children(metrics.audit_rows_total)

logger = structlog.get_logger(__name__)


class AuditRow(msgspec.Struct, frozen=True, gc=False):
    """A row of `user_action` that has no id yet; fields are its columns.

    `at` is in seconds since the epoch: a `datetime` costs ten times as much
    to make and to send.
    """

    at: float
    user_id: str
    username: str
    address: str | None
    protocol: Protocol
    action: str
    resource: str | None
    outcome: AuditOutcome
    status: int
    req_id: str | None
    duration_ms: float


class Action(msgspec.Struct, eq=False, gc=False):
    """Something that a user is doing.

    `name` is the permission's line, `writes` whether it may change what is
    stored, `settled` whether it has its row or needs none, `at` when it
    began, in seconds since the epoch.
    """

    user: UserModel
    protocol: Protocol
    name: str
    writes: bool
    address: str | None
    req_id: str | None
    resource: str | None = None
    settled: bool = False
    at: float = msgspec.field(default_factory=time)
    started: float = msgspec.field(default_factory=perf_counter)

    def row(self, status: int) -> AuditRow:
        """Return the row of this action, which has ended.

        Args:
            status: HTTP's, or an `RSPCode`.
        """
        return AuditRow(
            self.at,
            storable(self.user.id),
            storable(self.user.username),
            self.address,
            self.protocol,
            self.name,
            self.resource and storable(scrub(self.resource)),
            outcome_of(status),
            status,
            self.req_id,
            (perf_counter() - self.started) * 1000,
        )


def outcome_of(status: int) -> AuditOutcome:
    """Say what a status means; HTTP's and the socket's do not overlap."""
    if is_success(status):
        return "success"
    return "permission_denied" if status in _DENIED else "error"


def is_success(status: int) -> bool:
    """Say whether a status, of HTTP or the socket, is no error."""
    return status == _OK or _HTTP_OK <= status < _HTTP_BAD_REQUEST


def storable(text: str) -> str:
    """Make text what every column takes; nearly all text is so already."""
    if len(text) <= MAX_NAME_LENGTH and text.isprintable():
        return text
    return text.encode("unicode_escape").decode()[:MAX_NAME_LENGTH]


class AuditQueue:
    """Rows that wait to be stored; a full queue loses the newest.

    Args:
        max_size: Rows at most.
        batch_size: How many rows are stored at a time.
    """

    def __init__(self, max_size: int, batch_size: int) -> None:
        self._max_size = max_size
        self._batch_size = batch_size
        self._enough = min(batch_size, AUDIT_ENOUGH_ROWS)
        self._rows: deque[AuditRow] = deque()
        self._batch_waits = asyncio.Event()
        self._overflows = False

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def has_batch(self) -> bool:
        """Whether as many rows wait as are stored at a time."""
        return len(self._rows) >= self._enough

    def settle(self, action: Action, status: int) -> None:
        """Give an action that has ended its row, unless it has one."""
        if not action.settled:
            action.settled = True
            self.put(action.row(status))

    def put(self, row: AuditRow) -> None:
        """Let a row wait; where there is no room, count it as lost."""
        if len(self._rows) >= self._max_size:
            self._drop()
            return
        self._rows.append(row)
        if self.has_batch:
            self._batch_waits.set()

    async def wait(self, seconds: float) -> None:
        """Return after this time, or earlier when a batch is complete."""
        if self.has_batch:
            return
        self._batch_waits.clear()  # it was set by rows that are stored now
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._batch_waits.wait()

    def first(self) -> Sequence[AuditRow]:
        """Return the next batch, which goes on waiting."""
        return tuple(islice(self._rows, self._batch_size))

    def forget(self, count: int) -> None:
        """Let go of the oldest rows."""
        for _ in range(count):
            self._rows.popleft()
        self._overflows = False

    def _drop(self) -> None:
        metrics.audit_dropped_total.inc()
        if not self._overflows:
            self._overflows = True
            logger.error("audit queue full", rows=len(self._rows))
