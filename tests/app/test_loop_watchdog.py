"""Whether the event loop gets to its work in time."""

import asyncio
import time
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Histogram
from structlog.testing import capture_logs

from app.tasks import loop_watchdog
from app.tasks.loop_watchdog import watch_loop

Logs = list[MutableMapping[str, Any]]
LAGS: list[float] = []


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> CollectorRegistry:
    """Where our watchdog alone counts, none of a service in another thread."""
    registry = CollectorRegistry()
    own = Histogram(
        "event_loop_lag_seconds",
        "Lag of the loop under test.",
        buckets=[0.5],
        registry=registry,
    )
    monkeypatch.setattr(loop_watchdog, "event_loop_lag_seconds", own)
    return registry


def counted(registry: CollectorRegistry, up_to: str) -> float:
    """Return how many looks found at most this lag."""
    name = "event_loop_lag_seconds_bucket"
    value = registry.get_sample_value(name, {"le": up_to})
    assert value is not None
    return value


async def until_looked(times: int) -> None:
    """Give way until our watchdog has looked so many times more."""
    enough = len(LAGS) + times
    while len(LAGS) < enough:  # noqa: ASYNC110  (nobody tells of a look)
        await asyncio.sleep(0)


@pytest.fixture
def logs() -> Iterator[Logs]:
    """What is logged meanwhile."""
    with capture_logs() as logs:
        yield logs


async def watched(stall_seconds: float, logs: Logs) -> Logs:
    """Stall the loop once under the watchdog's eyes; return its lines."""
    task = asyncio.create_task(watch_loop(0.01, 0.1, LAGS.append))
    await until_looked(2)
    time.sleep(stall_seconds)  # noqa: ASYNC251  (the stall)
    await until_looked(1)
    task.cancel()
    await asyncio.wait([task])
    return [line for line in logs if line["event"] == "event loop stalled"]


async def test_a_stall_is_warned_of(
    logs: Logs, registry: CollectorRegistry
) -> None:
    """One warning tells how long it was and what the process did."""
    lines = await watched(0.6, logs)
    assert 1 == len(lines)
    assert "warning" == lines[0]["log_level"]
    assert 500 < lines[0]["lag_ms"]
    assert lines[0]["cpu_ms"] < lines[0]["lag_ms"]
    assert 0 <= lines[0]["full_collections"]
    assert 1 == counted(registry, "+Inf") - counted(registry, "0.5")


async def test_a_short_wait_is_only_counted(
    logs: Logs, registry: CollectorRegistry
) -> None:
    """What nobody notices is in the histogram and not in the log."""
    assert [] == await watched(0.0, logs)
    assert 3 <= counted(registry, "0.5")
