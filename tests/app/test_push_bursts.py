"""Pushes that come together, as those of one transaction do."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from app.constants import PUSHES_AT_ONCE
from app.managers.push_memory import Push, in_batches
from app.schemas.push import Position
from app.settings import DatabaseSettings
from app.storage.db import Database
from app.storage.pubsub import Numbered, PushStream
from app.tasks.pubsub_listener import PubSubListener
from tests.fixtures import service as services
from tests.fixtures.pushes import next_names, store_authors
from tests.fixtures.servers import Servers
from tests.fixtures.service import MakeService, Service
from tests.fixtures.sockets import open_socket
from tests.fixtures.wires import only_wire

SignIn = Callable[[str], str]
MANY = 3 * PUSHES_AT_ONCE
NAMES = [f"author {number}" for number in range(MANY)]
LITTLE = 1000


@pytest.fixture
async def database(migrated: Servers) -> AsyncIterator[Database]:
    """The service's."""
    database = Database(DatabaseSettings(database_url=migrated.database_url))
    yield database
    await database.close()


class Counting:
    """A transport that counts what is written to it."""

    def __init__(self, transport: Any) -> None:
        self.writes = 0
        self._plain = transport

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plain, name)

    def write(self, data: bytes) -> None:
        """Count it."""
        self.writes += 1
        self._plain.write(data)


async def test_a_burst_is_a_few_writes(
    service: Service, sign_in: SignIn, database: Database
) -> None:
    """To each socket; and it is still every push, in order."""
    async with open_socket(service, sign_in("reader")) as socket:
        wire = await only_wire(service, socket)
        transport: Any = Counting(wire._transport)
        wire._transport = transport
        await store_authors(database, *NAMES)
        assert NAMES == await next_names(socket, MANY)
    assert transport.writes < MANY / 8


@pytest.mark.parametrize("is_plain", [False, True])
async def test_a_burst_closes_no_socket_that_is_read(
    make_service: MakeService,
    sign_in: SignIn,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    is_plain: bool,
) -> None:
    """However little it may leave unread, and under whatever server."""
    if is_plain:
        plain = {"lifespan": "on", "log_config": None}
        monkeypatch.setattr(services, "uvicorn_options", lambda _: plain)
    with make_service(ws_send_queue_max_bytes=LITTLE) as service:
        async with open_socket(service, sign_in("reader")) as socket:
            await store_authors(database, *NAMES)
            assert NAMES == await next_names(socket, MANY)


def pushes(*sizes: int) -> list[Push]:
    """Pushes whose frames are so large."""
    return [Push(n, 100, None, b"x" * size) for n, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([], []),
        ([1], [1]),
        ([1] * (PUSHES_AT_ONCE + 1), [PUSHES_AT_ONCE, 1]),
        ([LITTLE // 2] * 5, [2, 2, 1]),
        ([9 * LITTLE, 1, 9 * LITTLE, 9 * LITTLE], [1, 1, 1, 1]),
        ([1, LITTLE - 1, 1], [2, 1]),
    ],
)
def test_batches_are_bounded(sizes: list[int], expected: list[int]) -> None:
    """In number and in bytes, and nothing is left out or twice in them."""
    consecutive = pushes(*sizes)
    batches = list(in_batches(consecutive, LITTLE))
    assert expected == [len(batch) for batch in batches]
    assert consecutive == [push for batch in batches for push in batch]


class Hub:
    """Keeps what is delivered to it.

    Args:
        position: Where it stands.
    """

    def __init__(self, position: Position | None) -> None:
        self.position = position
        self.delivered: list[int] = []

    async def deliver(self, epoch: str, numbered: Sequence[Numbered]) -> None:
        """Keep the numbers."""
        self.delivered += [one.seq for one in numbered]
        self.position = Position(epoch, self.delivered[-1])

    async def move_to(self, position: Position) -> None:
        """Go on from here."""
        self.position = position


class Stream(PushStream):
    """Redis, which has five pushes."""

    def __init__(self) -> None:
        """Need no server."""

    async def publish(self, *_: Any) -> Position:
        """Say where it stands."""
        return Position("e", 5)

    async def read(self, after: int, until: int) -> Sequence[Numbered]:
        """Return what is between."""
        return [Numbered(seq, b"") for seq in range(after + 1, until + 1)]


@pytest.mark.parametrize(
    ("position", "came", "expected"),
    [
        pytest.param(2, [3, 4], [3, 4], id="what follows"),
        pytest.param(2, [1, 2, 3, 3], [3], id="what came before"),
        pytest.param(2, [3, 5], [3, 4, 5], id="one is missing"),
        pytest.param(1, [3, 4], [2, 3, 4, 5], id="the first is missing"),
        pytest.param(2, [4, 3], [3, 4, 5], id="another order"),
        pytest.param(None, [3, 4], [], id="nothing is known"),
    ],
)
async def test_what_came_together_is_delivered_once_and_in_order(
    position: int | None, came: list[int], expected: list[int]
) -> None:
    """Where something is missing, it is looked for first."""
    hub: Any = Hub(None if position is None else Position("e", position))
    messages = [b"e %d {}" % seq for seq in came]
    await PubSubListener(Stream(), hub)._take(messages)
    assert expected == hub.delivered
    assert hub.position == Position("e", expected[-1] if expected else 5)


async def test_numbers_of_another_epoch_are_none_of_this_one() -> None:
    """They are looked up, whatever they are."""
    hub: Any = Hub(Position("old", 2))
    await PubSubListener(Stream(), hub)._take([b"old 3 {}", b"e 1 {}"])
    assert ([1, 2, 3, 4, 5], Position("e", 5)) == (hub.delivered, hub.position)
