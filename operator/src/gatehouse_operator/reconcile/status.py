"""The status of a resource: what holds, and since when.

Conditions have one order, and a status that says the same is the same, so
that nothing is written where nothing has changed.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gatehouse_operator.errors import (
    ClientSecretMissing,
    ClusterAway,
    KeycloakAway,
    Trouble,
)

READY: Final = "Ready"
SYNCED: Final = "Synced"
SECRET_READY: Final = "SecretReady"  # noqa: S105  (a type, no secret)
DRIFTED: Final = "Drifted"
DEGRADED: Final = "Degraded"
ACCEPTED: Final = "Accepted"
PUBLISHED: Final = "Published"
CONVERGED: Final = "Converged"
_ORDER: Final = (
    *(READY, SYNCED, SECRET_READY, DRIFTED, DEGRADED),
    *(ACCEPTED, PUBLISHED, CONVERGED),
)
"""Of a realm or client, and of the state of role maps."""
_FAILURES: Final = 3
"""After so many in a row a resource is degraded."""

Condition = Mapping[str, Any]


@dataclass(frozen=True)
class Fact:
    """One condition: whether it holds, why, and more words."""

    status: str
    reason: str
    message: str = ""


@dataclass(frozen=True)
class Report:
    """What came of bringing a resource to be as its spec says.

    Args:
        trouble: What is not as it should be; None if all is.
        made: `Created` or `Adopted`, and what, if it is new to us.
        changed: The fields of the spec that were put right.
        drifted: The fields that are not right, and were left so.
        is_paused: Whether nothing was done because the spec says so.
        secret: How it is with the Secret; None if the kind has none.
        told: More to tell, each with its reason.
        extra: Other fields of the status.
        again_in: When there is something to do again, in seconds.
    """

    trouble: Trouble | None = None
    made: tuple[str, str] | None = None
    changed: tuple[str, ...] = ()
    drifted: tuple[str, ...] = ()
    is_paused: bool = False
    secret: Fact | None = None
    told: tuple[tuple[str, str], ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    again_in: float | None = None


def facts_of(report: Report) -> dict[str, Fact]:
    """Return the conditions of a resource that could be brought."""
    facts = {
        READY: Fact("True", "AsSpecified"),
        SYNCED: Fact("True", "AsSpecified"),
        DRIFTED: Fact("False", "AsSpecified"),
        DEGRADED: Fact("False", "AsSpecified"),
    }
    if report.is_paused:
        facts[SYNCED] = Fact("Unknown", "Paused", "the spec says so")
        facts[READY] = facts[SYNCED]
        if report.drifted:
            what = ", ".join(report.drifted)
            facts[DRIFTED] = Fact("True", "Paused", what)
    if report.secret is not None:
        facts[SECRET_READY] = report.secret
        if report.secret.status != "True":
            facts[READY] = report.secret
    return facts


def facts_of_trouble(
    trouble: Trouble, failures: int, secret: Fact | None = None
) -> dict[str, Fact]:
    """Return the conditions of a resource that could not be brought.

    Args:
        trouble: Why.
        failures: How often in a row.
        secret: How it is with the Secret, if that is known.
    """
    lasts = failures >= _FAILURES
    if trouble.is_passing and not lasts:
        return {}
    reason, message = trouble.reason, str(trouble)
    is_known = not isinstance(trouble, (KeycloakAway, ClusterAway))
    fact = Fact("False" if is_known else "Unknown", reason, message)
    facts = {READY: fact, SYNCED: fact}
    if isinstance(trouble, ClientSecretMissing):
        secret = fact
    if secret is not None:
        facts[SECRET_READY] = secret
    if lasts:
        facts[DEGRADED] = Fact("True", reason, message)
    return facts


def with_facts(
    old: Sequence[Condition],
    facts: Mapping[str, Fact],
    generation: int,
    now: str,
) -> list[dict[str, Any]]:
    """Return the conditions, in their order.

    Args:
        old: What they were.
        facts: What holds now; others stay.
        generation: That of the spec which was looked at.
        now: The time, as RFC 3339 has it.
    """
    before = {one["type"]: dict(one) for one in old}
    found = dict(_conditions(before, facts, generation, now))
    return [found[kind] for kind in _ORDER if kind in found]


def _conditions(
    before: Mapping[str, dict[str, Any]],
    facts: Mapping[str, Fact],
    generation: int,
    now: str,
) -> Iterator[tuple[str, dict[str, Any]]]:
    for kind in before.keys() | facts.keys():
        was = before.get(kind, {})
        if kind not in facts:
            yield kind, was
            continue
        fact = facts[kind]
        since = was.get("lastTransitionTime", now)
        if was.get("status") != fact.status:
            since = now
        yield (
            kind,
            {
                "type": kind,
                "status": fact.status,
                "reason": fact.reason,
                "message": fact.message,
                "lastTransitionTime": since,
                "observedGeneration": generation,
            },
        )


def transitions(
    old: Collection[Condition], new: Collection[Condition]
) -> list[Condition]:
    """Return the conditions that say something else than before."""
    before = {one["type"]: one for one in old}
    return [
        one for one in new if _said(one) != _said(before.get(one["type"], {}))
    ]


def _said(condition: Condition) -> tuple[object, ...]:
    return tuple(condition.get(k) for k in ("status", "reason", "message"))
