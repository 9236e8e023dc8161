"""What the operator of role maps counts."""

from prometheus_client import Gauge

rejected_maps = Gauge(
    "operator_rejected_maps",
    "Role maps that are not in force as they are.",
)
map_revision = Gauge(
    "operator_map_revision",
    "The number of the role map in force.",
)
