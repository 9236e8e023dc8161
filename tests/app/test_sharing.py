"""Equal reads share a statement, and nobody reads what is too old."""

import asyncio
from collections.abc import Callable

import pytest

from app.storage import sharing as sharing_module
from app.storage.reader import Record
from app.storage.sharing import Asked, Read, Sharing

ASKED = ("SELECT 1", (1,))


class Server:
    """Tells how often it was asked, once it is told to answer."""

    def __init__(self) -> None:
        self.asked = 0
        self.connected = asyncio.Event()
        self.answers = asyncio.Event()
        self.connected.set()
        self.answers.set()
        self.error: Exception | None = None

    async def read(self, send: Callable[[], None]) -> list[Record]:
        """Answer with a number that nobody else gets."""
        await self.connected.wait()
        send()
        self.asked += 1
        answer: Record = (self.asked,)
        await self.answers.wait()
        if self.error is not None:
            raise self.error
        return [answer]


@pytest.fixture
async def server() -> Server:
    """A server that answers at once."""
    return Server()


async def started(
    sharing: Sharing,
    read: Read[list[Record]],
    count: int,
    asked: Asked = ASKED,
) -> list[asyncio.Task[list[Record]]]:
    """Some reads of this turn of the event loop."""
    reads = [
        asyncio.create_task(sharing.share(asked, read)) for _ in range(count)
    ]
    await asyncio.sleep(0)
    return reads


async def test_equal_reads_of_a_moment_are_one(server: Server) -> None:
    """All get its rows."""
    reads = await started(Sharing(), server.read, 5)
    assert [[(1,)]] * 5 == await asyncio.gather(*reads)
    assert 1 == server.asked


async def test_reads_share_while_they_wait_for_a_connection(
    server: Server,
) -> None:
    """Those that come later, but before it is sent, too."""
    sharing = Sharing()
    server.connected.clear()
    reads = await started(sharing, server.read, 2)
    await asyncio.sleep(0.01)
    reads += await started(sharing, server.read, 2)
    server.connected.set()
    await asyncio.gather(*reads)
    assert 1 == server.asked


async def test_what_was_sent_before_is_not_shared(server: Server) -> None:
    """It may not see what was written since."""
    sharing = Sharing()
    server.answers.clear()
    early = await started(sharing, server.read, 2)
    await asyncio.sleep(0.01)
    late = await started(sharing, server.read, 2)
    server.answers.set()
    assert [[(1,)]] * 2 == await asyncio.gather(*early)
    assert [[(2,)]] * 2 == await asyncio.gather(*late)


async def test_reads_share_while_another_is_under_way(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that come meanwhile wait for its end, and are one read then."""
    monkeypatch.setattr(sharing_module, "SHARING_SECONDS", 60)
    sharing = Sharing()
    server.answers.clear()
    reads = await started(sharing, server.read, 1)
    for _ in range(3):
        await asyncio.sleep(0)
        reads += await started(sharing, server.read, 1)
    assert 1 == server.asked
    server.answers.set()
    assert [1, 2, 2, 2] == [
        rows[0][0] for rows in await asyncio.gather(*reads)
    ]


async def test_slow_read_holds_up_nobody(server: Server) -> None:
    """Its connection may be lost, so the others soon take another one."""
    sharing = Sharing()
    server.answers.clear()
    slow = await started(sharing, server.read, 1)
    await asyncio.sleep(0)
    assert 1 == server.asked
    server.answers = asyncio.Event()
    server.answers.set()
    reads = await started(sharing, server.read, 2)
    async with asyncio.timeout(5):
        assert [[(2,)]] * 2 == await asyncio.gather(*reads)
        assert [(3,)] == await sharing.share(ASKED, server.read)
    assert not slow[0].done()
    slow[0].cancel()
    await asyncio.wait(slow)
    assert {} == sharing._under_way


async def test_who_leaves_while_another_is_under_way_stops_nobody(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the one under way nor those who were to share his."""
    monkeypatch.setattr(sharing_module, "SHARING_SECONDS", 60)
    sharing = Sharing()
    server.answers.clear()
    first = await started(sharing, server.read, 1)
    await asyncio.sleep(0)
    waiting = await started(sharing, server.read, 1)
    await asyncio.sleep(0)
    rest = await started(sharing, server.read, 2)
    waiting[0].cancel()
    await asyncio.wait(waiting)
    server.answers.set()
    async with asyncio.timeout(5):
        rows = await asyncio.gather(*first, *rest)
    assert waiting[0].cancelled()
    assert [1, 2, 2] == [found[0][0] for found in rows]
    assert {} == sharing._under_way


async def test_other_arguments_are_another_read(server: Server) -> None:
    """So are other statements."""
    sharing = Sharing()
    sql, _ = ASKED
    reads = await started(sharing, server.read, 1)
    reads += await started(sharing, server.read, 1, (sql, (2,)))
    reads += await started(sharing, server.read, 1, (f"{sql}, 2", (1,)))
    await asyncio.gather(*reads)
    assert 3 == server.asked


async def test_what_cannot_be_compared_is_read_alone(server: Server) -> None:
    """A list of ids, for instance."""
    sql, _ = ASKED
    reads = await started(Sharing(), server.read, 2, (sql, ([1, 2],)))
    await asyncio.gather(*reads)
    assert 2 == server.asked


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("is_sent", [False, True])
async def test_who_leaves_takes_no_rows_with_him(
    server: Server, number: int, is_sent: bool
) -> None:
    """Whoever is cancelled, and whenever: the others have theirs."""
    sharing = Sharing()
    ready = server.answers if is_sent else server.connected
    ready.clear()
    reads = await started(sharing, server.read, 3)
    await asyncio.sleep(0.01)
    left = reads.pop(number)
    left.cancel()
    await asyncio.wait([left])
    ready.set()
    assert left.cancelled()
    rows = await asyncio.gather(*reads)
    assert 1 == len(set(map(str, rows)))


async def test_error_is_everybodys(server: Server) -> None:
    """And the next read is made as if nothing had been."""
    sharing = Sharing()
    server.error = OSError("away")
    reads = await started(sharing, server.read, 3)
    found = await asyncio.gather(*reads, return_exceptions=True)
    assert ["away"] * 3 == [str(error) for error in found]
    server.error = None
    assert [(2,)] == await sharing.share(ASKED, server.read)
