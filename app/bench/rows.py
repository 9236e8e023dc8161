"""The rows of the report: what is measured and what it should be."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from app.api.ws.constants import PkgID
from app.bench.package import BenchID
from app.bench.wire import Script, http_script, socket_script
from app.constants import MAX_PAGE_SIZE

Protocol = Literal["WS", "HTTP"]


@dataclass(frozen=True)
class Row:
    """One measured value, and the bounds it should keep.

    `rises` says that more is better; a row without bounds is for reading.
    """

    name: str
    value: float
    unit: str
    must: float | None = None
    aim: float | None = None
    rises: bool = False
    note: str = ""

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

    `asked` is a path of HTTP, or messages of the socket, sent in turn.
    """

    name: str
    protocol: Protocol
    asked: str | tuple[tuple[int, dict[str, Any]], ...]
    must: float | None = None
    aim: float | None = None
    server: Literal["service", "naive"] = "service"

    def script(self, token: str) -> Script:
        """Return what a connection of this user sends."""
        if isinstance(self.asked, str):
            return http_script(self.asked, token)
        return socket_script(token, self.asked)


def _read(limit: int) -> tuple[tuple[int, dict[str, Any]], ...]:
    return ((PkgID.GET_AUTHORS, {"limit": limit}),)


CHAIN = Rate(
    "WS full chain, no database",
    "WS",
    ((BenchID.REPEAT, {"text": "again"}),),
    must=0.35,
    aim=0.55,
)
SOCKET_LIST = Rate("WS 20-row read", "WS", _read(20), must=0.14, aim=0.20)
RATES = (
    CHAIN,
    Rate("WS one-row read", "WS", _read(1), must=0.16, aim=0.22),
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
LISTS = {
    20: SOCKET_LIST,
    MAX_PAGE_SIZE: Rate("WS longest read", "WS", _read(MAX_PAGE_SIZE)),
}
STALLS = Rate("stalls", "WS", ((BenchID.MEASURE_STALLS, {}),))
