"""The custom resource `RbacState`, which has a status and no spec."""

from gatehouse_operator.resources.base import Conditions, Part


class RbacStateStatus(Part):
    """Which role map is in force, and where."""

    conditions: Conditions | None = None
    """Accepted, Published and Converged, in this order."""
    revision: int | None = None
    """The number of the map."""
    digest: str | None = None
    """The beginning of its digest, as Events have it."""
    pods: str | None = None
    """How many pods have it in force, of how many there are, such as 3/3."""
