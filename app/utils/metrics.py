"""Every metric of the service: its name, its labels and its buckets.

Labels come from closed sets, whatever clients send: route templates, names
of registered messages, classes of our own errors. A series costs memory
here and in Prometheus for as long as the process lives.

What is counted for each request goes through `Children`: finding a child by
its labels costs four times as much as counting with one that is at hand.
"""

from typing import Final, TypeVar

from prometheus_client import disable_created_metrics

from app.utils.counting import Counter, Gauge, Histogram

UNMATCHED: Final = "unmatched"
"""The endpoint of a request that no route answers."""
UNKNOWN: Final = "unknown"
"""The `pkg_id` of a message that no handler answers."""
OTHER: Final = "other"
"""The label of what a client made up."""

M = TypeVar("M", Counter, Gauge, Histogram)

# From a cached answer to the deadline of a request, in steps of about 2.5.
_ANSWER: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
# From one round trip to the deadline of a statement.
_QUERY: Final = (0.0005, *_ANSWER[:-1])
# From one round trip to the deadline of a command.
_COMMAND: Final = (0.0001, 0.00025, 0.0005, *_ANSWER[:10])
# Both bounds that matter are edges: 20 ms, the most a stall may take, and
# 100 ms, at which it is warned of.
_LAG: Final = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0)

# The time of a series' creation would double the number of lines.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Children(dict[tuple[str, ...], M]):
    """The children of a metric by their labels, each looked up once.

    Args:
        metric: Whose labels come from closed sets.
    """

    def __init__(self, metric: M) -> None:
        super().__init__()
        self._metric: M = metric

    def __missing__(self, labels: tuple[str, ...]) -> M:
        """Make the child with these labels."""
        child: M = self._metric.labels(*labels)
        self[labels] = child
        return child


app_info = Gauge(
    "app_info",
    "The version that runs, and where.",
    ["version", "python_version", "environment"],
)
app_errors_total = Counter(
    "app_errors_total",
    "Errors that nobody foresaw, and what was not done in time.",
    ["error_type", "handler"],
)
event_loop_lag_seconds = Histogram(
    "event_loop_lag_seconds",
    "How much later than due the event loop gets to its work.",
    buckets=_LAG,
)

http_requests_total = Counter(
    "http_requests_total",
    "Requests that were answered.",
    ["method", "endpoint", "status_code"],
)
http_request_duration_seconds = Histogram(
    "http_request_duration_seconds",
    "From a request's headers to the end of its answer.",
    ["method", "endpoint"],
    buckets=_ANSWER,
)
http_requests_in_progress = Gauge(
    "http_requests_in_progress",
    "Requests that are being answered.",
    ["method", "endpoint"],
)

ws_connections_active = Gauge(
    "ws_connections_active",
    "Sockets that are open.",
)
ws_connections_total = Counter(
    "ws_connections_total",
    "Handshakes by their end: accepted, or rejected_ and what stood in the "
    "way: auth, limit, origin, unavailable.",
    ["status"],
)
ws_messages_received_total = Counter(
    "ws_messages_received_total",
    "Messages that clients have sent.",
)
ws_messages_sent_total = Counter(
    "ws_messages_sent_total",
    "Messages that clients were sent.",
)
ws_message_processing_duration_seconds = Histogram(
    "ws_message_processing_duration_seconds",
    "From a message to the reply to it.",
    ["pkg_id"],
    buckets=_ANSWER,
)
ws_close_total = Counter(
    "ws_close_total",
    "Sockets that were closed, by the close code of whoever was first.",
    ["code"],
)

connections_shed_total = Counter(
    "connections_shed_total",
    "Clients that were refused: the process is short of files or cpu, or "
    "their address has too many strangers.",
    ["short_of"],
)

ws_push_total = Counter(
    "ws_push_total",
    "Pushes that sockets were sent.",
)
ws_send_queue_bytes = Gauge(
    "ws_send_queue_bytes",
    "What sockets have not read yet, all together.",
)
outbox_size = Gauge(
    "outbox_size",
    "Events that wait to be pushed because Redis is away.",
)
outbox_dropped_total = Counter(
    "outbox_dropped_total",
    "Events that were never pushed, because too many waited.",
)

auth_attempts_total = Counter(
    "auth_attempts_total",
    "Checks of a client's token: success, missing, failed, unavailable.",
    ["status"],
)
auth_token_validations_total = Counter(
    "auth_token_validations_total",
    "Tokens not known yet that were verified: valid, invalid, unavailable.",
    ["status"],
)
jwks_refresh_total = Counter(
    "jwks_refresh_total",
    "Fetches of the keys that sign tokens: success, failure.",
    ["result"],
)
rbac_map_info = Gauge(
    "rbac_map_info",
    "The role map in force.",
    ["revision", "digest", "source"],
)
rbac_reload_seconds = Histogram(
    "rbac_reload_seconds",
    "How long a role map takes to be in force.",
    buckets=_QUERY,
)
rate_limit_hits_total = Counter(
    "rate_limit_hits_total",
    "What was refused because a limit was reached.",
    ["limit_type"],
)
limiter_fallback = Gauge(
    "limiter_fallback",
    "1 while limits are kept by this process alone.",
)

db_query_duration_seconds = Histogram(
    "db_query_duration_seconds",
    "Statements by kind: select, insert, update, delete, other.",
    ["operation"],
    buckets=_QUERY,
)
db_query_errors_total = Counter(
    "db_query_errors_total",
    "Statements, and attempts to connect, that failed.",
    ["operation", "error_type"],
)
db_connections_active = Gauge(
    "db_connections_active",
    "Connections to the database that are open.",
)
redis_operations_total = Counter(
    "redis_operations_total",
    "Commands that Redis was sent.",
    ["operation"],
)
redis_operation_duration_seconds = Histogram(
    "redis_operation_duration_seconds",
    "From a command to its answer.",
    ["operation"],
    buckets=_COMMAND,
)
redis_errors_total = Counter(
    "redis_errors_total",
    "Commands that failed.",
    ["operation", "error_type"],
)
pool_in_use = Gauge(
    "pool_in_use",
    "Connections that somebody is using: db, redis.",
    ["pool"],
)

audit_queue_size = Gauge(
    "audit_queue_size",
    "Audit rows that wait to be stored.",
)
audit_rows_total = Counter(
    "audit_rows_total",
    "Audit rows that were stored.",
    ["outcome"],
)
audit_dropped_total = Counter(
    "audit_dropped_total",
    "Audit rows that were lost: no room, no time, or not storable.",
)
