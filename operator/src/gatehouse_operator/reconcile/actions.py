"""What there is to do in Keycloak, as values: nothing here does it."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Do(StrEnum):
    """What is done to a thing."""

    ADD = "add"
    CHANGE = "change"
    REMOVE = "remove"


class What(StrEnum):
    """What a thing is."""

    ACCOUNT_ROLE = "role of the service account"
    CLIENT = "client"
    CLIENT_ROLE = "client role"
    COMPOSITE = "composite"
    DEFAULT_SCOPE = "default client scope"
    GROUP = "group"
    GROUP_ROLE = "role of a group"
    MAPPER = "protocol mapper"
    OPTIONAL_SCOPE = "optional client scope"
    REALM = "realm"
    REALM_ROLE = "realm role"
    USER = "user"


@dataclass(frozen=True)
class Action:
    """One thing to do.

    Args:
        do: What to do to it.
        what: What it is.
        name: Which one.
        within: The thing that it belongs to, where there are several.
        body: What Keycloak is to be told of it.
        fields: Where the spec asks for it.
    """

    do: Do
    what: What
    name: str = ""
    within: str = ""
    body: Mapping[str, Any] = field(default_factory=dict)
    fields: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Say what is done, without any value: one may be a secret."""
        return " ".join(filter(None, (self.do, self.what, self.name)))


def named(actions: Iterable[Action]) -> tuple[str, ...]:
    """Return the fields of the spec that these actions are for, sorted."""
    return tuple(sorted({f for one in actions for f in one.fields}))


def members(
    wanted: Collection[str] | None,
    actual: Collection[str] | None,
    what: What,
    field_name: str,
    within: str = "",
) -> Iterator[Action]:
    """Compare a list that is owned: what is not in it is removed.

    Args:
        wanted: What is to be there; None if nobody says.
        actual: What is there.
        what: What they are.
        field_name: Where the spec lists them.
        within: What they belong to.
    """
    if wanted is None:
        return
    there = set(actual or ())
    for do, names in (
        (Do.ADD, set(wanted) - there),
        (Do.REMOVE, there - set(wanted)),
    ):
        for name in sorted(names):
            yield Action(do, what, name, within, fields=(field_name,))
