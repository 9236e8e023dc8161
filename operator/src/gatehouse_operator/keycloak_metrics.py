"""What the operator of Keycloak counts; no label has a resource's name."""

from prometheus_client import Counter, Gauge, Histogram

reconciles_total = Counter(
    "operator_reconciles_total",
    "Resources that were brought to be as they should: done, failed.",
    ["kind", "result"],
)
reconcile_seconds = Histogram(
    "operator_reconcile_seconds",
    "How long a resource takes.",
    ["kind"],
)
drift_total = Counter(
    "operator_drift_corrected_total",
    "Resources that were changed in Keycloak, and put right again.",
    ["kind"],
)
orphans_total = Counter(
    "operator_orphans_total",
    "Objects in Keycloak that were let go because their resource is gone.",
)
resources_ready = Gauge(
    "operator_resources",
    "Custom resources, by whether they are ready.",
    ["kind", "ready"],
)
queue_depth = Gauge(
    "operator_queue_depth",
    "Resources that wait to be looked at.",
)
keycloak_calls_total = Counter(
    "operator_keycloak_calls_total",
    "Calls of Keycloak's admin API; none is no answer.",
    ["verb", "status"],
)
keycloak_call_seconds = Histogram(
    "operator_keycloak_call_seconds",
    "How long a call takes.",
    ["verb"],
)
