"""The rows of the report: what is measured and what it should be."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from app.api.ws.constants import PkgID
from app.bench.package import BenchID
from app.bench.wire import Script, http_script, socket_script
from app.storage.pagination import encode_cursor

Protocol = Literal["WS", "HTTP"]
Messages = tuple[tuple[int, dict[str, Any]], ...]

NOISE: Final = 1.2
"""A cost that grew less than this is taken for one that did not grow."""


@dataclass(frozen=True)
class Row:
    """One measured value, and the bounds it should keep.

    `rises` says that more is better; a row without bounds is for reading.
    `disturbed` says that other programs have had a part in the value.
    """

    name: str
    value: float
    unit: str
    must: float | None = None
    aim: float | None = None
    rises: bool = False
    note: str = ""
    disturbed: bool = False

    @property
    def is_met(self) -> bool | None:
        """Whether the value keeps its bound; None if there is none."""
        if self.must is None:
            return None
        if self.rises:
            return self.value >= self.must
        return self.value <= self.must

    def as_dict(self) -> dict[str, Any]:
        """Return the row for a file of JSON."""
        return {**asdict(self), "met": self.is_met}


@dataclass(frozen=True)
class Rate:
    """A row that compares a server's rate with the echo's.

    `asked` is a path of HTTP, or messages of the socket, sent in turn; `apart`
    says what each connection asks, by its number, where that differs.
    """

    name: str
    protocol: Protocol
    asked: str | Messages
    must: float | None = None
    aim: float | None = None
    server: Literal["service", "naive"] = "service"
    apart: Callable[[int], Messages] | None = None

    def script(self, token: str, number: int = 0) -> Script:
        """Return what a connection of this user sends.

        Args:
            token: The user's.
            number: The connection's.
        """
        if isinstance(self.asked, str):
            return http_script(self.asked, token)
        asked = self.apart(number) if self.apart else self.asked
        return socket_script(token, asked)


def _read(limit: int, **more: str) -> Messages:
    return ((PkgID.GET_AUTHORS, {"limit": limit, **more}),)


def _read_behind(number: int) -> Messages:
    return _read(1, after=encode_cursor(number + 1))


_REPEAT: Messages = ((BenchID.REPEAT, {"text": "again"}),)
CHAIN = Rate(
    "WS full chain, no database",
    "WS",
    _REPEAT,
    must=0.35,
    aim=0.55,
)
ONE_ROW = Rate("WS one-row read", "WS", _read(1), must=0.16, aim=0.22)
SOCKET_LIST = Rate("WS 20-row read", "WS", _read(20), must=0.14, aim=0.20)
RATES = (
    CHAIN,
    ONE_ROW,
    Rate(
        "WS one-row read, each another row",
        "WS",
        _read(1),
        apart=_read_behind,
    ),
    SOCKET_LIST,
    Rate(
        "HTTP full chain, 20 rows",
        "HTTP",
        "/authors?limit=20",
        must=0.10,
        aim=0.17,
    ),
    Rate("HTTP full chain, no database", "HTTP", "/me", must=0.20, aim=0.40),
    Rate("the common way: WS 20-row read", "WS", _read(20), server="naive"),
    Rate(
        "the common way: HTTP 20 rows",
        "HTTP",
        "/authors?limit=20",
        server="naive",
    ),
)
MIXED = Rate("a word and a list", "WS", (*_REPEAT, *_read(20)))


def growth(before: Sequence[float], after: Sequence[float]) -> list[float]:
    """Return how many times as much something costs, for each round."""
    return [b / a for a, b in zip(before, after, strict=True)]


def spread(values: Sequence[float]) -> str:
    """Say between what some values are; nothing of a single one."""
    if len(values) == 1:
        return ""
    return f" ({min(values):.3g} to {max(values):.3g})"
