"""A run: clients at work, faults meanwhile, and the reckoning.

It knows no process and no proxy: whoever has other pods gives their addresses
and something that makes faults.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import asyncpg

from tests.soak.journal import (
    Change,
    Journal,
    Noun,
    Position,
    Resync,
    Subscribed,
    Tables,
)
from tests.soak.readers import Reader
from tests.soak.receivers import ReceivingClient
from tests.soak.stage import Stage
from tests.soak.writers import HttpWriter, Refused, SocketWriter, Writer

SETTLE_SECONDS = 45
"""How long it may take, when all is well again, until nobody waits."""
_LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Crowd:
    """How many clients of each kind there are, and how they behave.

    Receivers keep a socket for `life_seconds` at most; None is for ever.
    """

    http_writers: int = 5
    socket_writers: int = 5
    readers: int = 2
    receivers: int = 12
    pause_seconds: float = 0.2
    life_seconds: float | None = 15


async def run(
    stage: Stage, seed: int, crowd: Crowd, faults: Awaitable[None]
) -> list[ReceivingClient]:
    """Let clients work during these faults, and until all are served."""
    receivers = [
        ReceivingClient(f"receiver {n}", seed, stage, crowd.life_seconds)
        for n in range(crowd.receivers)
    ]
    async with _running(receivers):
        await _until(lambda: all(r.is_there for r in receivers))
        asking = [
            asyncio.create_task(client.run())
            for client in _askers(stage, seed, crowd)
        ]
        await faults
        stage.over.set()
        await _finish(asking)
        with suppress(TimeoutError, Refused):  # which the reckoning will tell
            await _mark_the_end(stage, seed)
    return receivers


def _askers(stage: Stage, seed: int, crowd: Crowd) -> list[Writer | Reader]:
    kinds: list[type[HttpWriter | SocketWriter | Reader]] = [
        *[HttpWriter] * crowd.http_writers,
        *[SocketWriter] * crowd.socket_writers,
        *[Reader] * crowd.readers,
    ]
    return [
        kind(f"client {number}", seed, stage, crowd.pause_seconds)
        for number, kind in enumerate(kinds)
    ]


@asynccontextmanager
async def _running(
    receivers: Sequence[ReceivingClient],
) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(client.run()) for client in receivers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        _raise_first(ends)


async def _finish(asking: Sequence[asyncio.Task[None]]) -> None:
    """Let clients end what they have begun, for as long as may be."""
    await asyncio.wait(asking, timeout=SETTLE_SECONDS)
    for task in asking:
        task.cancel()
    _raise_first(await asyncio.gather(*asking, return_exceptions=True))


def _raise_first(results: Sequence[BaseException | None]) -> None:
    for result in results:
        if isinstance(result, Exception):
            raise result


async def _mark_the_end(stage: Stage, seed: int) -> None:
    """Make a last change, and wait until every receiver is told."""
    journal = stage.journal
    async with asyncio.timeout(SETTLE_SECONDS):
        mark = await HttpWriter("the end", seed, stage, 0.1).write_one()
        while journal.end is None:
            journal.end = _position_of(journal, mark.change)
            await asyncio.sleep(_LOOK_SECONDS)
    end = journal.end
    await _until(
        lambda: all(_has_come(r.position, end) for r in journal.receivers)
    )


def _position_of(journal: Journal, change: Change) -> Position | None:
    for receiver in journal.receivers:
        for push in reversed(receiver.entries):
            if push.position and getattr(push, "change", None) == change:
                return push.position
    return None


def _has_come(at: Position | None, end: Position) -> bool:
    return at is not None and at.epoch == end.epoch and at.seq >= end.seq


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SETTLE_SECONDS):
        while not condition():  # noqa: ASYNC110  (clients tell of nothing)
            await asyncio.sleep(_LOOK_SECONDS)


async def read_tables(database_url: str, prefix: str) -> Tables:
    """Return what is stored of a run."""
    connection = await asyncpg.connect(database_url)
    try:
        labels: dict[tuple[Noun, int], str] = {}
        like = f"{prefix} %"
        for row in await connection.fetch(
            "SELECT id, name FROM author WHERE name LIKE $1", like
        ):
            labels["author", row["id"]] = row["name"]
        for row in await connection.fetch(
            "SELECT id, title FROM book WHERE title LIKE $1", like
        ):
            labels["book", row["id"]] = row["title"]
        audited = await connection.fetch(
            "SELECT req_id, count(*) AS rows FROM user_action"
            " WHERE outcome = 'success' AND action ~ $1 GROUP BY req_id",
            "^(ws (CREATE|UPDATE|DELETE)_|http (POST|PUT|DELETE) )",
        )
        outbox = await connection.fetchval("SELECT count(*) FROM outbox")
    finally:
        await connection.close()
    counts = {row["req_id"]: row["rows"] for row in audited}
    return Tables(labels, counts, outbox)


def summary(journal: Journal) -> str:
    """Say how much there was of everything."""
    answered = [write for write in journal.writes if write.answers]
    entries = [entry for r in journal.receivers for entry in r.entries]
    kinds = Counter(type(entry).__name__ for entry in entries)
    lost = sum(
        isinstance(e, Resync)
        or (isinstance(e, Subscribed) and not e.recovered)
        for e in entries
    )
    slowest = max((w.acknowledged or w.sent) - w.sent for w in answered)
    epochs = {p.position.epoch for r in journal.receivers for p in r.pushes}
    codes = Counter(code for r in journal.receivers for code in r.closed)
    failures = Counter(why for r in journal.receivers for why in r.not_opened)
    return (
        f"{len(answered)} writes acknowledged, the slowest after"
        f" {slowest:.1f} s; {len(journal.exchanges)} requests,"
        f" {sum(not e.answers for e in journal.exchanges)} to be repeated\n"
        f"{len(journal.receivers)} receivers: {kinds['Pushed']} pushes,"
        f" {kinds['Subscribed']} subscriptions, {lost} reported gaps,"
        f" {len(epochs)} epochs; closed {dict(codes)},"
        f" not opened {dict(failures)}"
    )
