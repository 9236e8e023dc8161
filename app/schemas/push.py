"""Pushes: how they travel, and what clients say and read about them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from pydantic import BaseModel, Field, StringConstraints, field_validator
from pydantic_core import PydanticCustomError

from app.constants import (
    MAX_EPOCH_LENGTH,
    MAX_NAME_LENGTH,
    MAX_PUSH_BYTES,
    MAX_PUSH_IDS,
    MAX_PUSH_USERS,
)
from app.schemas.page import Input

V = TypeVar("V")

MAX_SEQ = 2**53 - 1
"""The largest number that every JSON parser reads exactly."""

PkgId = Annotated[int, Field(ge=0, le=2**31 - 1)]
UserName = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_NAME_LENGTH)
]
ChangeAction = Literal["created", "updated", "deleted"]


class Position(msgspec.Struct, frozen=True):
    """How far a process or a client has come.

    `seq` rises by one with each push; when the numbers cannot go on, since
    Redis has lost them, they start again in another `epoch`.
    """

    epoch: str
    seq: int


class PushBody(msgspec.Struct, frozen=True):
    """A push as it waits in the outbox and is remembered in Redis.

    `users` are names; None is everybody who may read it.
    """

    pkg_id: int
    data: msgspec.Raw
    users: Sequence[str] | None = None


class PushRead(msgspec.Struct, frozen=True):
    """A push as clients get it."""

    pkg_id: int
    req_id: str
    status_code: int
    data: Any
    meta: Position | None


@dataclass(frozen=True, slots=True)
class Change(Generic[V]):
    """The data of a push that tells of a change.

    `values` is the row as it now is; null when it is gone.
    """

    action: ChangeAction
    id: int
    values: V | None


@dataclass(frozen=True, slots=True)
class MapChange:
    """Another role map is in force: ask `ME` what is permitted now."""

    digest: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Pushes were lost: read anew what the kinds in `resync` tell of."""

    resync: list[int]


class After(Input):
    """The last push that a client has seen: the `meta` of it."""

    epoch: Annotated[str, Field(min_length=1, max_length=MAX_EPOCH_LENGTH)]
    seq: Annotated[int, Field(ge=0, le=MAX_SEQ)]


class UnsubscribeInput(Input):
    """Kinds of pushes that a socket is not to get."""

    pkg_ids: Annotated[
        list[PkgId], Field(min_length=1, max_length=MAX_PUSH_IDS)
    ]


class SubscribeInput(UnsubscribeInput):
    """Kinds of pushes that a socket is to get, from where it left off."""

    after: After | None = None


class SubscribeRead(BaseModel):
    """Whether what was missed is remembered, and sent after this reply."""

    recovered: bool


class BroadcastInput(Input):
    """A push to the sockets of all who may read it, or of some users.

    `pkg_id` is that of any push (`AUTHORS_CHANGED` 100, `BOOKS_CHANGED` 101,
    `PERMISSIONS_CHANGED` 102, `SERVER_NOTICE` 103, and what installed
    packages add), so that a client can be told anything the service itself
    could tell. `users` are user names; those who may not read the push, or
    have unsubscribed, do not get it even if they are named.
    """

    pkg_id: PkgId
    data: dict[str, Any]
    users: (
        Annotated[
            list[UserName], Field(min_length=1, max_length=MAX_PUSH_USERS)
        ]
        | None
    ) = None

    @field_validator("data")
    @classmethod
    def _can_be_sent(cls, data: dict[str, Any]) -> dict[str, Any]:
        try:
            json.dumps(data, allow_nan=False)  # msgspec makes null of NaN
            size = len(msgspec.json.encode(data))
        except (ValueError, OverflowError, RecursionError):
            raise PydanticCustomError(
                "json_invalid", "Data should be valid JSON"
            ) from None
        if size > MAX_PUSH_BYTES:
            raise PydanticCustomError(
                "too_long",
                "Data should have at most {bytes} bytes",
                {"bytes": MAX_PUSH_BYTES},
            )
        return data


class ConnectionsRead(BaseModel):
    """The open sockets of this service: all, by pod, by user's name.

    Sockets that nobody has signed in on yet count for their pod alone.
    """

    total: int
    pods: dict[str, int]
    users: dict[str, int]
