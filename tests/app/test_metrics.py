"""What Prometheus reads: all that is promised, and nothing that clients make.

A service of its own process, so that what is found was counted there.
"""

import re
from pathlib import Path
from types import ModuleType

import pytest
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from app.utils import metrics
from app.utils.exposition import exposition

Series = dict[str, list[tuple[dict[str, str], float]]]

PROMISED = {
    "app_errors_total": {"error_type", "handler"},
    "app_info": {"version", "python_version", "environment"},
    "audit_dropped_total": set(),
    "audit_queue_size": set(),
    "audit_rows_total": {"outcome"},
    "auth_attempts_total": {"status"},
    "auth_token_validations_total": {"status"},
    "connections_shed_total": {"short_of"},
    "db_connections_active": set(),
    "db_query_duration_seconds": {"operation"},
    "db_query_errors_total": {"operation", "error_type"},
    "event_loop_lag_seconds": set(),
    "http_request_duration_seconds": {"method", "endpoint"},
    "http_requests_in_progress": {"method", "endpoint"},
    "http_requests_total": {"method", "endpoint", "status_code"},
    "jwks_refresh_total": {"result"},
    "limiter_fallback": set(),
    "outbox_dropped_total": set(),
    "outbox_size": set(),
    "pool_in_use": {"pool"},
    "rate_limit_hits_total": {"limit_type"},
    "rbac_map_info": {"revision", "digest", "source"},
    "rbac_reload_seconds": set(),
    "redis_errors_total": {"operation", "error_type"},
    "redis_operation_duration_seconds": {"operation"},
    "redis_operations_total": {"operation"},
    "ws_close_total": {"code"},
    "ws_connections_active": set(),
    "ws_connections_total": {"status"},
    "ws_message_processing_duration_seconds": {"pkg_id"},
    "ws_messages_received_total": set(),
    "ws_messages_sent_total": set(),
    "ws_push_total": set(),
    "ws_send_queue_bytes": set(),
}
"""Names and labels, as the specification and the product have them."""

AT_REST = {
    "audit_dropped_total",
    "audit_queue_size",
    "limiter_fallback",
    "outbox_dropped_total",
    "outbox_size",
    "ws_send_queue_bytes",
}
"""Metrics that are 0 as long as all is well."""


@pytest.fixture(scope="module")
def series(metrics_text: str) -> Series:
    """Labels and value of each series by name."""
    found: Series = {}
    for family in text_string_to_metric_families(metrics_text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(
                (dict(sample.labels), sample.value)
            )
    return found


def value(series: Series, name: str, **labels: str) -> float:
    """Return the value of one series; 0 where there is none."""
    matching = [v for found, v in series.get(name, []) if found == labels]
    return sum(matching)


def test_every_metric_is_emitted(series: Series) -> None:
    """Traffic with errors leaves a trace in each, with its labels."""
    found = {
        name: labels_of(series, name)
        for name in PROMISED
        if name in AT_REST or moved(series, name)
    }
    assert PROMISED == found


def labels_of(series: Series, name: str) -> set[str]:
    """Return the label names of a metric's series."""
    samples = series.get(name) or series[f"{name}_count"]
    return {label for labels, _ in samples for label in labels}


def moved(series: Series, name: str) -> bool:
    """Say whether something was counted, or is there to be told."""
    samples = series.get(name, []) + series.get(f"{name}_count", [])
    return any(v > 0 or labels for labels, v in samples) or (
        name == "ws_connections_active" and bool(samples)
    )


def test_what_is_counted(series: Series) -> None:
    """Each label has the value that an operator looks for."""

    def request(method: str, endpoint: str, status: str) -> float:
        return value(
            series,
            "http_requests_total",
            method=method,
            endpoint=endpoint,
            status_code=status,
        )

    assert 1 == request("GET", "unmatched", "404")
    assert 1 == request("PUT", "/authors", "405")
    assert 1 == request("other", "/authors", "405")
    assert 1 == request("GET", "/books", "500")
    assert 1 == request("DELETE", "/authors/{id}", "204")
    assert 2 == request("GET", "/me", "401")
    assert [70, 1] == [request("GET", "/books", s) for s in ("401", "429")]
    name = "ws_connections_total"
    assert [3, 1, 1] == [
        value(series, name, status=status)
        for status in ("accepted", "rejected_auth", "rejected_limit")
    ]
    name = "ws_message_processing_duration_seconds_count"
    assert [1, 1, 1] == [
        value(series, name, pkg_id=pkg_id)
        for pkg_id in ("GET_AUTHORS", "GET_BOOKS", "unknown")
    ]
    assert {"1000", "1008"} == {
        labels["code"] for labels, _ in series["ws_close_total"]
    }
    assert {"http /books", "ws GET_BOOKS"} == {
        labels["handler"] for labels, _ in series["app_errors_total"]
    }
    assert ["UndefinedTableError"] == [
        labels["error_type"] for labels, _ in series["db_query_errors_total"]
    ]
    assert 0 == value(series, "ws_connections_active")


def declared() -> dict[str, MetricWrapperBase]:
    """Return every metric of `metrics.py` by its name there."""
    module: ModuleType = metrics
    return {
        name: metric
        for name, metric in vars(module).items()
        if isinstance(metric, MetricWrapperBase)
    }


def test_what_is_declared() -> None:
    """It is what was promised, under the name that Prometheus sees."""
    assert PROMISED == {
        name: set(metric._labelnames) for name, metric in declared().items()
    }


def test_what_is_declared_is_used() -> None:
    """A metric that no code touches is an empty promise."""
    code = "".join(
        path.read_text()
        for path in Path("app").rglob("*.py")
        if path != Path("app/utils/metrics.py")
    )
    unused = [
        name for name in declared() if not re.search(rf"\b{name}\b", code)
    ]
    assert [] == unused


NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def test_names_follow_the_rules() -> None:
    """Counters end in `_total`, others don't; times are in seconds."""
    for name, metric in declared().items():
        assert NAME.fullmatch(name)
        assert metric._documentation.endswith(".")
        assert (metric._type == "counter") == name.endswith("_total")
        assert not re.search(r"_(ms|milliseconds|count|sum|bucket)$", name)
        if metric._type == "histogram":
            assert name.endswith("_seconds")


async def test_steps_make_the_same_text() -> None:
    """What is made in steps is what the library makes at once."""
    for number in range(100):
        label = f'made up \\ "{number}"\n'
        metrics.http_request_duration_seconds.labels("GET", label).observe(1)

    def still(text: bytes) -> list[str]:
        lines = text.decode().splitlines()
        return [line for line in lines if line[0] == "#" or "made up" in line]

    try:
        expected = still(generate_latest(REGISTRY))
        assert expected == still(await exposition())
    finally:
        for number in range(100):
            label = f'made up \\ "{number}"\n'
            metrics.http_request_duration_seconds.remove("GET", label)
