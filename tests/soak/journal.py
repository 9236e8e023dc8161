"""What clients write down during a run, for the reckoning after it.

Nothing here judges: a client notes what it asked for, what it was answered
and what it was sent, in the order in which that happened. `reckon` compares
it with the tables.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

Noun = Literal["author", "book"]
Act = Literal["created", "updated", "deleted"]

SILENCE = "silence"
"""The end of a request that was waited for too long."""
CUT = 1006
"""The end of a request whose connection broke: the client may ask again."""


class Position(NamedTuple):
    """How far a receiver has come."""

    epoch: str
    seq: int


class Change(NamedTuple):
    """What a push tells; a label is the name or title, unique in a run.

    `label` is None, and `id` needed, for what was deleted.
    """

    noun: Noun
    act: Act
    id: int | None
    label: str | None


@dataclass(slots=True)
class Exchange:
    """A request on its way, and how often it was answered.

    `end` is the code with which its socket closed, if that came first.
    """

    who: str
    what: str
    answers: int = 0
    end: int | str | None = None


@dataclass(slots=True)
class Write:
    """A change that a client asks for until it is acknowledged.

    `answers` has what was said each time that it was; a refusal is an answer
    that no repetition will better.
    """

    who: str
    key: str
    noun: Noun
    act: Act
    label: str
    id: int | None = None
    sent: float = field(default_factory=time.monotonic)
    acknowledged: float | None = None
    answers: list[Any] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    @property
    def change(self) -> Change:
        """The push that tells of it."""
        if self.act == "deleted":
            return Change(self.noun, self.act, self.id, None)
        return Change(self.noun, self.act, None, self.label)


class Look(NamedTuple):
    """What a client found of its own, right after it had changed it."""

    who: str
    noun: Noun
    id: int
    expected: str | None
    found: str | None


class Subscribed(NamedTuple):
    """A subscription: pushes go on, or start anew at a position."""

    recovered: bool
    position: Position | None


class Resync(NamedTuple):
    """A notice that pushes are lost; they go on behind a position."""

    position: Position | None


class Pushed(NamedTuple):
    """A push."""

    position: Position
    change: Change


Entry: TypeAlias = Subscribed | Resync | Pushed


@dataclass
class Receiver:
    """What one client was sent, over all its sockets.

    `closed` has the code of each that has ended; `not_opened` has why there
    was none, each time.
    """

    name: str
    entries: list[Entry] = field(default_factory=list)
    closed: list[int | str] = field(default_factory=list)
    not_opened: list[str] = field(default_factory=list)

    @property
    def position(self) -> Position | None:
        """How far it has come, and so what it asks to follow."""
        for entry in reversed(self.entries):
            if isinstance(entry, Subscribed) and entry.recovered:
                continue
            return entry.position
        return None

    @property
    def pushes(self) -> Iterator[Pushed]:
        """Its pushes, in their order."""
        return (e for e in self.entries if isinstance(e, Pushed))


@dataclass
class Journal:
    """Everything that the clients of a run have written down.

    `end` is the position of the last change, made when all was well again.
    """

    writes: list[Write] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    receivers: list[Receiver] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    end: Position | None = None


@dataclass
class Tables:
    """What is stored in the end.

    `audited` says how many rows of success each key has, `outbox` how many
    events wait.
    """

    labels: dict[tuple[Noun, int], str]
    audited: dict[str, int]
    outbox: int = 0
