"""What a limiter says to one call."""

from math import ceil
from typing import NamedTuple

from app.types import Header


class Verdict(NamedTuple):
    """Whether a call is admitted, and how many more would be.

    `reset_seconds` is when the window has room again, or more room.
    """

    is_allowed: bool
    remaining: int
    reset_seconds: int


def whole_seconds(seconds: float, window: float) -> int:
    """Round a wait up, to at least one second and at most the window."""
    return 1 if seconds <= 1 else ceil(min(seconds, window))


def rate_limit_headers(
    limit: int, remaining: int, reset_seconds: int
) -> tuple[Header, ...]:
    """Return the headers that tell a client of HTTP where it stands."""
    return (
        (b"x-ratelimit-limit", b"%d" % limit),
        (b"x-ratelimit-remaining", b"%d" % remaining),
        (b"x-ratelimit-reset", b"%d" % reset_seconds),
    )
