"""The dashboards, each panel a line or two; `make docs` writes their JSON.

Every panel says what it shows, in which unit and from where on it is not
well. Alerts link to the panel with their expression by the dashboard's uid.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent / "dashboards"
_WIDTH: Final = 24
_HEIGHT: Final = 8
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_OF: Final = 'namespace=~"$namespace", pod=~"$pod"'
_RANGE: Final = "$__rate_interval"
_OR_NONE: Final = " or vector(0)"
"""Where there may never have been one."""


@dataclass(frozen=True)
class Panel:
    """One panel.

    Args:
        title: What it is.
        says: What it shows, in a sentence or two.
        lines: Each expression, with the legend of its series.
        unit: Grafana's name of the unit.
        kind: `timeseries`, `stat` or `gauge`.
        warns: From where on it is not well; None if it always is.
        bad: From where on it is bad.
        width: Of 24 columns.
    """

    title: str
    says: str
    lines: dict[str, str]
    unit: str = "short"
    kind: str = "timeseries"
    warns: float | None = None
    bad: float | None = None
    width: int = 8


@dataclass(frozen=True)
class Dashboard:
    """One dashboard, in rows of panels.

    Args:
        uid: Its name in addresses.
        title: Its title.
        metric: One that every pod of it has.
        rows: Its panels, each row with a title.
    """

    uid: str
    title: str
    metric: str
    rows: dict[str, list[Panel]] = field(default_factory=dict)


def rate(metric: str, by: str = "", where: str = "") -> str:
    """How often a second something is counted, over all pods."""
    labels = ", ".join(filter(None, (_OF, where)))
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (rate({metric}{{{labels}}}[{_RANGE}]))"


def gauge(metric: str, by: str = "", where: str = "") -> str:
    """What pods have, all together."""
    labels = ", ".join(filter(None, (_OF, where)))
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} ({metric}{{{labels}}})"


def quantile(share: float, metric: str, by: str = "") -> str:
    """A quantile of a histogram, over all pods."""
    grouped = ", ".join(filter(None, ("le", by)))
    inner = rate(f"{metric}_bucket", grouped)
    return f"histogram_quantile({share}, {inner})"


def percentiles(metric: str) -> dict[str, str]:
    """The three that everybody asks for."""
    return {
        quantile(share, metric): f"p{share * 100:.0f}"
        for share in (0.5, 0.95, 0.99)
    }


SERVICE: Final = Dashboard(
    "gatehouse-service",
    "Gatehouse",
    "app_info",
    {
        "Overview": [
            Panel(
                "Pods",
                "Pods of each version.",
                {gauge("app_info", "version"): "{{version}}"},
                kind="stat",
                width=4,
            ),
            Panel(
                "Requests",
                "HTTP requests that are answered in a second.",
                {rate("http_requests_total"): "requests"},
                "reqps",
                "stat",
                width=4,
            ),
            Panel(
                "Failures",
                "The share of HTTP requests that end in a 5xx.",
                {
                    "("
                    + rate("http_requests_total", where='status_code=~"5.."')
                    + " or vector(0)) / "
                    + rate("http_requests_total"): "failures"
                },
                "percentunit",
                "stat",
                0.001,
                0.01,
                width=4,
            ),
            Panel(
                "Open sockets",
                "Sockets that are open on all pods.",
                {gauge("ws_connections_active"): "sockets"},
                kind="stat",
                width=4,
            ),
            Panel(
                "Role map in force",
                "The newest number; more than one for long means that a pod"
                " has not heard of an edit.",
                {
                    f"count by (revision) (rbac_map_info{{{_OF}}} == 1)": (
                        "revision {{revision}}"
                    )
                },
                kind="stat",
                width=4,
            ),
            Panel(
                "Unforeseen errors",
                "Errors that the code did not foresee, in a second.",
                {
                    rate("app_errors_total", "error_type") + _OR_NONE: (
                        "{{error_type}}"
                    )
                },
                "cps",
                "stat",
                0.001,
                0.1,
                width=4,
            ),
        ],
        "HTTP": [
            Panel(
                "Requests by answer",
                "Requests in a second by the status of the answer.",
                {
                    rate("http_requests_total", "status_code"): (
                        "{{status_code}}"
                    )
                },
                "reqps",
            ),
            Panel(
                "Time to answer",
                "From a request's headers to the end of its answer.",
                percentiles("http_request_duration_seconds"),
                "s",
                warns=0.25,
                bad=1,
            ),
            Panel(
                "Slowest routes",
                "The p99 of the ten slowest routes.",
                {
                    "topk(10, "
                    + quantile(
                        0.99, "http_request_duration_seconds", "endpoint"
                    )
                    + ")": "{{endpoint}}"
                },
                "s",
                warns=0.25,
                bad=1,
            ),
            Panel(
                "In progress",
                "Requests that are being answered.",
                {
                    gauge(
                        "http_requests_in_progress", "endpoint"
                    ): "{{endpoint}}"
                },
            ),
            Panel(
                "Requests by route",
                "Requests in a second by route and method.",
                {
                    rate("http_requests_total", "endpoint, method"): (
                        "{{method}} {{endpoint}}"
                    )
                },
                "reqps",
                width=16,
            ),
        ],
        "WebSocket": [
            Panel(
                "Open sockets",
                "Sockets by pod.",
                {gauge("ws_connections_active", "pod"): "{{pod}}"},
            ),
            Panel(
                "Handshakes",
                "Handshakes in a second by their end.",
                {rate("ws_connections_total", "status"): "{{status}}"},
                "cps",
            ),
            Panel(
                "Closes",
                "Sockets that are closed in a second, by code: 1012 is a"
                " rollout, 4508 a reader that is too slow.",
                {rate("ws_close_total", "code"): "{{code}}"},
                "cps",
            ),
            Panel(
                "Messages",
                "Messages in a second: received, sent, and pushed.",
                {
                    rate("ws_messages_received_total"): "received",
                    rate("ws_messages_sent_total"): "sent",
                    rate("ws_push_total"): "pushed",
                },
                "cps",
            ),
            Panel(
                "Time to reply",
                "From a message to the reply to it.",
                percentiles("ws_message_processing_duration_seconds"),
                "s",
                warns=0.25,
                bad=1,
            ),
            Panel(
                "Unread",
                "What sockets have not read yet.",
                {gauge("ws_send_queue_bytes", "pod"): "{{pod}}"},
                "bytes",
            ),
        ],
        "Permissions and limits": [
            Panel(
                "Tokens",
                "Checks of clients' tokens in a second, by their end.",
                {rate("auth_attempts_total", "status"): "{{status}}"},
                "cps",
            ),
            Panel(
                "New tokens",
                "Tokens that were verified for the first time.",
                {
                    rate("auth_token_validations_total", "status"): (
                        "{{status}}"
                    )
                },
                "cps",
            ),
            Panel(
                "Signing keys",
                "Fetches of the keys that sign tokens.",
                {rate("jwks_refresh_total", "result"): "{{result}}"},
                "cps",
            ),
            Panel(
                "Role map in force after",
                "How long a role map takes to be in force on a pod.",
                percentiles("rbac_reload_seconds"),
                "s",
                warns=0.25,
                bad=1,
            ),
            Panel(
                "Limits hit",
                "What was refused in a second because of a limit.",
                {
                    rate(
                        "rate_limit_hits_total", "limit_type"
                    ): "{{limit_type}}"
                },
                "cps",
            ),
            Panel(
                "Refused, counting alone",
                "Clients that were refused because a process is short of"
                " something; pods that count limits by themselves, because"
                " Redis is away.",
                {
                    rate("connections_shed_total", "short_of"): (
                        "refused: {{short_of}}"
                    ),
                    gauge("limiter_fallback"): "pods that count alone",
                },
                warns=0.001,
                bad=1,
            ),
        ],
        "Nothing lost": [
            Panel(
                "Audit rows",
                "Rows in a second that were stored, and that were lost.",
                {
                    rate("audit_rows_total", "outcome"): "{{outcome}}",
                    rate("audit_dropped_total"): "lost",
                },
                "cps",
            ),
            Panel(
                "Waiting",
                "Audit rows that wait for the database, and events that wait"
                " for Redis.",
                {
                    gauge("audit_queue_size"): "audit rows",
                    gauge("outbox_size"): "events",
                },
                warns=1000,
                bad=10_000,
            ),
            Panel(
                "Events dropped",
                "Events that were never pushed; clients were told.",
                {rate("outbox_dropped_total"): "dropped"},
                "cps",
                warns=0.001,
                bad=1,
            ),
        ],
        "Servers": [
            Panel(
                "Statements",
                "The p99 of statements by kind.",
                {
                    quantile(
                        0.99, "db_query_duration_seconds", "operation"
                    ): "{{operation}}"
                },
                "s",
                warns=0.1,
                bad=1,
            ),
            Panel(
                "Statements that failed",
                "In a second, by kind.",
                {
                    rate("db_query_errors_total", "operation, error_type")
                    + _OR_NONE: "{{operation}} {{error_type}}"
                },
                "cps",
            ),
            Panel(
                "Connections",
                "Connections to the database that are open, and connections"
                " that somebody is using.",
                {
                    gauge("db_connections_active"): "open: db",
                    gauge("pool_in_use", "pool"): "in use: {{pool}}",
                },
            ),
            Panel(
                "Redis",
                "Commands in a second.",
                {rate("redis_operations_total", "operation"): "{{operation}}"},
                "cps",
            ),
            Panel(
                "Redis' answers",
                "The p99 from a command to its answer.",
                {
                    quantile(
                        0.99, "redis_operation_duration_seconds", "operation"
                    ): "{{operation}}"
                },
                "s",
                warns=0.05,
                bad=0.5,
            ),
            Panel(
                "Redis' failures, and retries",
                "Commands that failed, and what was tried again.",
                {
                    rate("redis_errors_total", "operation, error_type")
                    + _OR_NONE: "{{operation}} {{error_type}}",
                    rate("stamina_retries_total", "callable")
                    + _OR_NONE: "again: {{callable}}",
                },
                "cps",
            ),
        ],
        "Processes": [
            Panel(
                "CPU",
                "Cores that each pod uses.",
                {rate("process_cpu_seconds_total", "pod"): "{{pod}}"},
            ),
            Panel(
                "Memory",
                "Resident memory of each pod.",
                {gauge("process_resident_memory_bytes", "pod"): "{{pod}}"},
                "bytes",
            ),
            Panel(
                "Event loop's lag",
                "How much later than due the event loop gets to its work.",
                percentiles("event_loop_lag_seconds"),
                "s",
                warns=0.05,
                bad=0.25,
            ),
            Panel(
                "Open files",
                "Of the files that a process may open, those that are.",
                {
                    f"max by (pod) (process_open_fds{{{_OF}}}"
                    f" / process_max_fds{{{_OF}}})": "{{pod}}"
                },
                "percentunit",
                warns=0.7,
                bad=0.9,
            ),
            Panel(
                "Age",
                "How long each pod has run.",
                {
                    f"time() - max by (pod)"
                    f" (process_start_time_seconds{{{_OF}}})": "{{pod}}"
                },
                "s",
            ),
            Panel(
                "Garbage collection",
                "Collections in a second.",
                {
                    rate("python_gc_collections_total", "generation"): (
                        "generation {{generation}}"
                    )
                },
                "cps",
            ),
        ],
    },
)

OPERATOR: Final = Dashboard(
    "gatehouse-operator",
    "Gatehouse's operators",
    "operator_rounds_total",
    {
        "Role maps": [
            Panel(
                "Revision",
                "The number of the role map in force.",
                {f"max (operator_map_revision{{{_OF}}})": "revision"},
                kind="stat",
            ),
            Panel(
                "Rejected maps",
                "Role maps that are not in force as they are; their Events"
                " say why.",
                {f"max (operator_rejected_maps{{{_OF}}})": "maps"},
                kind="stat",
                warns=1,
                bad=2,
            ),
            Panel(
                "Looks at everything",
                "Rounds in a second, by their end.",
                {
                    rate("operator_rounds_total", "pod, result"): (
                        "{{pod}} {{result}}"
                    )
                },
                "cps",
            ),
        ],
        "Realms and clients": [
            Panel(
                "Resources",
                "Custom resources, by whether they are ready.",
                {
                    gauge("operator_resources", "kind, ready"): (
                        "{{kind}} ready={{ready}}"
                    )
                },
            ),
            Panel(
                "Brought",
                "Resources in a second that were brought to be as they"
                " should.",
                {
                    rate("operator_reconciles_total", "kind, result"): (
                        "{{kind}} {{result}}"
                    )
                },
                "cps",
            ),
            Panel(
                "Time to bring",
                "How long a resource takes.",
                percentiles("operator_reconcile_seconds"),
                "s",
                warns=5,
                bad=30,
            ),
            Panel(
                "Drift and orphans",
                "What somebody changed in Keycloak and was put right, and"
                " what was left over, in a second.",
                {
                    rate("operator_drift_corrected_total", "kind"): (
                        "drift: {{kind}}"
                    ),
                    rate("operator_orphans_total"): "orphans",
                },
                "cps",
            ),
            Panel(
                "Calls of Keycloak",
                "In a second, by verb and status.",
                {
                    rate("operator_keycloak_calls_total", "verb, status"): (
                        "{{verb}} {{status}}"
                    )
                },
                "cps",
            ),
            Panel(
                "Keycloak's answers",
                "How long a call takes.",
                percentiles("operator_keycloak_call_seconds"),
                "s",
                warns=1,
                bad=5,
            ),
            Panel(
                "Waiting",
                "Resources that wait to be looked at.",
                {gauge("operator_queue_depth"): "resources"},
                warns=100,
                bad=1000,
            ),
            Panel(
                "CPU",
                "Cores that each operator uses.",
                {rate("process_cpu_seconds_total", "pod"): "{{pod}}"},
            ),
            Panel(
                "Memory",
                "Resident memory of each operator.",
                {gauge("process_resident_memory_bytes", "pod"): "{{pod}}"},
                "bytes",
            ),
        ],
    },
)

KEYCLOAK: Final = Dashboard(
    "keycloak-metrics",
    "Keycloak",
    "keycloak_user_events_total",
    {
        "Sign-ins": [
            Panel(
                "Active Sessions",
                "Sessions of users that are in memory.",
                {
                    gauge(
                        "vendor_statistics_approximate_entries",
                        where='cache="sessions"',
                    ): "sessions"
                },
                kind="gauge",
            ),
            Panel(
                "Login Success/Failure Rate",
                "Sign-ins of users and clients in a second, and those that"
                " failed.",
                {
                    rate(
                        "keycloak_user_events_total",
                        where='event=~"login|client_login", error=""',
                    ): "success",
                    "("
                    + rate(
                        "keycloak_user_events_total",
                        where='event=~"login|client_login|login_error",'
                        ' error!=""',
                    )
                    + ") or vector(0)": "failure",
                },
                "cps",
            ),
            Panel(
                "Failed Logins (Last Hour)",
                "Many of them may be somebody who guesses passwords.",
                {
                    "sum (increase(keycloak_user_events_total"
                    f'{{{_OF}, event=~"login.*", error!=""}}[1h]))'
                    " or vector(0)": "failed"
                },
                kind="stat",
                warns=100,
                bad=1000,
            ),
        ],
        "Requests": [
            Panel(
                "Request Duration (Percentiles)",
                "How long Keycloak takes to answer.",
                percentiles("http_server_requests_seconds"),
                "s",
                warns=0.5,
                bad=2,
                width=12,
            ),
            Panel(
                "Request Rate",
                "Requests in a second, by their end.",
                {
                    rate("http_server_requests_seconds_count", "outcome"): (
                        "{{outcome}}"
                    )
                },
                "reqps",
                width=12,
            ),
        ],
        "Java and the database": [
            Panel(
                "JVM Heap Memory Usage",
                "The heap that is used, and its limit.",
                {
                    gauge("jvm_memory_used_bytes", "pod", 'area="heap"'): (
                        "used {{pod}}"
                    ),
                    "sum by (pod) (jvm_memory_max_bytes"
                    f'{{{_OF}, area="heap"}} > 0)': "limit {{pod}}",
                },
                "bytes",
                width=6,
            ),
            Panel(
                "Garbage Collection Pause Time",
                "Seconds in each second that the JVM stood still.",
                {rate("jvm_gc_pause_seconds_sum", "pod"): "{{pod}}"},
                "percentunit",
                warns=0.05,
                bad=0.2,
                width=6,
            ),
            Panel(
                "JVM Thread Count",
                "Threads that live, and the most there were.",
                {
                    gauge("jvm_threads_live_threads", "pod"): "live {{pod}}",
                    gauge("jvm_threads_peak_threads", "pod"): "peak {{pod}}",
                },
                width=6,
            ),
            Panel(
                "Database Connection Pool",
                "Connections that are used, that are free, and requests that"
                " wait for one.",
                {
                    gauge("agroal_active_count"): "active",
                    gauge("agroal_available_count"): "available",
                    gauge("agroal_awaiting_count"): "awaiting",
                },
                width=6,
            ),
        ],
    },
)

DASHBOARDS: Final = {
    "fastapi-metrics": SERVICE,
    "gatehouse-operator": OPERATOR,
    "keycloak-metrics": KEYCLOAK,
}


def rendered(dashboard: Dashboard) -> dict[str, Any]:
    """The dashboard as Grafana reads it."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["gatehouse"],
        "schemaVersion": 41,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": [
            {
                "title": "Gatehouse",
                "type": "dashboards",
                "tags": ["gatehouse"],
                "asDropdown": True,
                "includeVars": True,
                "keepTime": True,
            }
        ],
        "annotations": {"list": []},
        "templating": {"list": list(_variables(dashboard.metric))},
        "panels": list(_panels(dashboard)),
    }


def _variables(metric: str) -> Iterator[dict[str, Any]]:
    yield {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "current": {},
    }
    for name, label, where in (
        ("namespace", "Namespace", ""),
        ("pod", "Pod", '{namespace=~"$namespace"}'),
    ):
        query = f"label_values({metric}{where}, {name})"
        yield {
            "name": name,
            "label": label,
            "type": "query",
            "datasource": _SOURCE,
            "definition": query,
            "query": {"query": query, "refId": name},
            "refresh": 2,
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
        }


def _panels(dashboard: Dashboard) -> Iterator[dict[str, Any]]:
    number, y = 1, 0
    for title, panels in dashboard.rows.items():
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "collapsed": False,
            "gridPos": {"x": 0, "y": y, "w": _WIDTH, "h": 1},
            "panels": [],
        }
        number, y, x = number + 1, y + 1, 0
        for panel in panels:
            if x + panel.width > _WIDTH:
                x, y = 0, y + _HEIGHT
            yield _panel(panel, number, x, y)
            number, x = number + 1, x + panel.width
        y += _HEIGHT


def _panel(panel: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.warns is not None:
        steps.append({"color": "orange", "value": panel.warns})
        steps.append({"color": "red", "value": panel.bad})
    options: dict[str, Any] = {
        "reduceOptions": {"calcs": ["lastNotNull"], "values": False}
    }
    custom: dict[str, Any] = {}
    if panel.kind == "timeseries":
        options = {
            "legend": {"displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
        custom = {"lineWidth": 1, "fillOpacity": 10, "showPoints": "never"}
        if panel.warns is not None:
            custom["thresholdsStyle"] = {"mode": "dashed"}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.says,
        "datasource": _SOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": _HEIGHT},
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "min": 0,
                "custom": custom,
                "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": [],
        },
        "options": options,
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": _SOURCE,
                "editorMode": "code",
                "expr": expression,
                "legendFormat": legend,
                "range": True,
            }
            for place, (expression, legend) in enumerate(panel.lines.items())
        ],
    }


def main() -> None:
    """Write every dashboard."""
    for name, dashboard in DASHBOARDS.items():
        text = json.dumps(rendered(dashboard), indent=2) + "\n"
        (FOLDER / f"{name}.json").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
