"""Which role map is to be in force, decided from those that people edit.

Maps are taken in the order in which they were made, and each must be good
together with those before it: a role that an older map has is the older
map's, a role may be included from an older one, and all must fit into what
is recorded. A map that is not good is rejected as a whole, and what was last
good of it stays, but for roles that an older map has got since. One that is
deleted and made anew takes its own place.

All of it together must not lock everybody out. A set in which nobody has a
permission of the administrator, or that takes away more than half of what is
given, is only taken if a map is annotated with the digest of exactly that
set. So a map that is deleted stays if those that are left are such a set; if
none is left there is the built-in map, which locks nobody out.

What was decided is recorded beside the map, with the version of each source
that it was decided on. Whoever sees an older version than is recorded has
not heard of everything yet, and decides nothing.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from app.schemas.permissions import (
    Permission,
    PermissionMap,
    PermissionMapError,
    diff,
    from_lines,
    roles_of,
)

FORCE: Final = "gatehouse.dev/force"
"""The annotation that names the digest of a map which may lock out."""
_SHARE: Final = 2
"""One of so many permissions may be taken away at once."""
MOST_BYTES: Final = 1_000_000
"""What a ConfigMap holds (1 MiB), less what is recorded beside the maps."""


@dataclass(frozen=True)
class Source:
    """A map as people edit it, a text for each role.

    `created` orders sources; `version` rises with each change; `force` is
    the annotation's value.
    """

    uid: str
    name: str
    created: str
    version: int
    texts: Mapping[str, str]
    force: str | None = None


@dataclass(frozen=True)
class Recorded:
    """What is in force of a source, and up to which version it was seen."""

    name: str
    created: str
    version: int
    texts: Mapping[str, str]


@dataclass(frozen=True)
class Compiled:
    """The map in force, its number, and what it was made of."""

    revision: int
    permission_map: PermissionMap
    sources: Mapping[str, Recorded] = field(default_factory=dict)


@dataclass(frozen=True)
class Rejected:
    """A source that is not in force as it is, and every reason."""

    source: Source
    findings: Sequence[str]


@dataclass(frozen=True)
class Outcome:
    """What is to be in force, which is what is there if nothing changed."""

    compiled: Compiled
    rejected: tuple[Rejected, ...] = ()


def is_behind(sources: Iterable[Source], compiled: Compiled | None) -> bool:
    """Say whether something newer was decided on than these sources."""
    recorded = compiled.sources if compiled else {}
    return any(
        source.uid in recorded
        and source.version < recorded[source.uid].version
        for source in sources
    )


def decide(
    sources: Collection[Source],
    compiled: Compiled | None,
    built_in: PermissionMap,
    *,
    admin_role: str,
    forgotten: Collection[str] = (),
    known_revision: int = 0,
) -> Outcome:
    """Decide which map is to be in force.

    Args:
        sources: Those that are there.
        compiled: What is in force; None before the first.
        built_in: In force where there is no source.
        admin_role: Whose permissions somebody must have.
        forgotten: UIDs of sources that are gone for good; others that are
            gone are in force as they were recorded.
        known_revision: A number that pods have seen; the next is higher.
    """
    recorded = _inherited(sources, compiled.sources if compiled else {})
    there = {source.uid for source in sources}
    kept = {
        uid: one
        for uid, one in recorded.items()
        if uid not in there and uid not in forgotten
    }
    accepted, rejected = _accept(sources, recorded, kept)
    texts = _merged(accepted)
    permission_map = from_lines(texts) if accepted else built_in
    following = 1 + max(known_revision, compiled.revision if compiled else 0)
    if compiled and permission_map.digest == compiled.permission_map.digest:
        is_known = known_revision <= compiled.revision
        revision = compiled.revision if is_known else following
        return Outcome(Compiled(revision, permission_map, accepted), rejected)
    old = compiled.permission_map if compiled else None
    fault = _lock_out(old, permission_map, built_in, admin_role)
    forces = {source.force for source in sources}
    if accepted and fault and permission_map.digest not in forces:
        stays = Compiled(following, built_in)
        if compiled is not None:
            stays = _seen(compiled, sources)
        refused = _refused(sources, recorded, accepted, fault)
        return Outcome(stays, (*rejected, *refused))
    return Outcome(Compiled(following, permission_map, accepted), rejected)


def _inherited(
    sources: Iterable[Source], recorded: Mapping[str, Recorded]
) -> dict[str, Recorded]:
    """Return what is recorded, with what was made anew for what it was."""
    named = {source.name: source.uid for source in sources}
    return {named.get(one.name, uid): one for uid, one in recorded.items()}


def _accept(
    sources: Collection[Source],
    recorded: Mapping[str, Recorded],
    kept: Mapping[str, Recorded],
) -> tuple[dict[str, Recorded], tuple[Rejected, ...]]:
    accepted = dict(kept)
    rejected = []
    for created, source in sorted(
        ((_created(source, recorded), source) for source in sources),
        key=lambda one: (one[0], one[1].name),
    ):
        last = recorded.get(source.uid)
        try:
            _check(source, accepted)
        except PermissionMapError as error:
            rejected.append(Rejected(source, error.findings))
            texts = _last_good(last, accepted) if last else None
        else:
            texts = source.texts
        if texts is not None:
            accepted[source.uid] = Recorded(
                source.name, created, source.version, texts
            )
    return accepted, tuple(rejected)


def _created(source: Source, recorded: Mapping[str, Recorded]) -> str:
    """Return since when there is a map of this name."""
    last = recorded.get(source.uid)
    return last.created if last else source.created


def _check(source: Source, accepted: Mapping[str, Recorded]) -> None:
    owners = {
        role: one.name for one in accepted.values() for role in one.texts
    }
    conflicts = [
        f"{role}: is a role of {owners[role]}, which is older"
        for role in sorted(source.texts)
        if role in owners
    ]
    if conflicts:
        raise PermissionMapError(conflicts)
    _check_together({**_merged(accepted), **source.texts})


def _last_good(
    last: Recorded, accepted: Mapping[str, Recorded]
) -> Mapping[str, str] | None:
    """Return what was good and is so together with what is now, if it is."""
    merged = _merged(accepted)
    texts = {k: text for k, text in last.texts.items() if k not in merged}
    try:
        _check_together({**merged, **texts})
    except PermissionMapError:
        return None
    return texts


def _check_together(texts: Mapping[str, str]) -> None:
    """Look at all texts that are to be in force.

    Raises:
        PermissionMapError: They are no map, or one that is too big to be
            recorded.
    """
    compiled = from_lines(texts).model_dump_json()
    written = json.dumps(texts, ensure_ascii=False).encode()
    size = len(compiled) + len(written)
    if size > MOST_BYTES:
        message = (
            f"all maps together take {size} bytes, with what each role may do"
            f" written out, and {MOST_BYTES} is the most"
        )
        raise PermissionMapError([message])


def _merged(accepted: Mapping[str, Recorded]) -> dict[str, str]:
    return {
        role: text
        for one in accepted.values()
        for role, text in one.texts.items()
    }


def _lock_out(
    old: PermissionMap | None,
    new: PermissionMap,
    built_in: PermissionMap,
    admin_role: str,
) -> str | None:
    """Say why a map would lock people out, if it would."""
    force = f"annotate it with {FORCE}: {new.digest} to mean it"
    held = _held(new)
    guarded = {
        permission
        for permission, rule in built_in.rules()
        if roles_of(rule) == (admin_role,)
    }
    if guarded and not guarded & held.keys():
        return f"nobody would have the permissions of {admin_role}; {force}"
    if old is None:
        return None
    removed = sum(map(len, diff(old, new).removed.values()))
    given = sum(_held(old).values())
    if removed * _SHARE > given:
        return f"{removed} of {given} permissions would be gone; {force}"
    return None


def _held(permission_map: PermissionMap) -> dict[Permission, int]:
    """Count to how many each permission is given; `*` counts as one."""
    return {
        permission: len(roles_of(rule)) or 1
        for permission, rule in permission_map.rules()
    }


def _seen(compiled: Compiled, sources: Iterable[Source]) -> Compiled:
    """Return what is in force, with the versions that were looked at."""
    versions = {source.uid: source.version for source in sources}
    return Compiled(
        compiled.revision,
        compiled.permission_map,
        {
            uid: Recorded(
                one.name,
                one.created,
                versions.get(uid, one.version),
                one.texts,
            )
            for uid, one in compiled.sources.items()
        },
    )


def _refused(
    sources: Iterable[Source],
    recorded: Mapping[str, Recorded],
    accepted: Mapping[str, Recorded],
    why: str,
) -> list[Rejected]:
    """Return who is told: whoever has changed, else all that are left."""
    changed = [
        Rejected(source, [why])
        for source in sources
        if source.uid not in recorded
        or source.texts != recorded[source.uid].texts
    ]
    gone = sorted(
        one.name for uid, one in recorded.items() if uid not in accepted
    )
    if gone:
        why = f"{', '.join(gone)} is deleted and stays in force: {why}"
    return changed or [Rejected(source, [why]) for source in sources]
