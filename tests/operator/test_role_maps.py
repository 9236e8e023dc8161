"""Which role map is in force, for whatever people have written."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.schemas.permissions import from_lines, load_file, to_lines
from gatehouse_operator.reconcile.role_maps import (
    Compiled,
    Outcome,
    Source,
    decide,
    is_behind,
)

BUILT_IN = load_file(Path("actions.json"))
ADMIN = {"admin": "http GET /audit-logs\n"}
READER = {"reader": "ws GET_AUTHORS\n"}


def source(number: int = 1, version: int = 10, **fields: Any) -> Source:
    """A map that people edit; those with a higher number are newer."""
    values = {
        "uid": f"uid-{number}",
        "name": f"map-{number}",
        "created": f"2026-01-01T00:00:{number:02}Z",
        "version": version,
        "texts": {**ADMIN, **READER},
    }
    return Source(**{**values, **fields})


def decided(
    *sources: Source, after: Compiled | None = None, **options: Any
) -> Outcome:
    """What is decided on these sources."""
    return decide(sources, after, BUILT_IN, admin_role="admin", **options)


FIRST = decided(source()).compiled


def test_first_map_is_what_its_lines_say() -> None:
    """It has the first number, and records what it was made of."""
    assert from_lines({**ADMIN, **READER}) == FIRST.permission_map
    assert (1, 10) == (FIRST.revision, FIRST.sources["uid-1"].version)


def test_without_a_source_the_built_in_map_is_in_force() -> None:
    """There is always a map."""
    assert BUILT_IN == decided().compiled.permission_map


def test_a_second_look_changes_nothing() -> None:
    """What is recorded is what would be decided again."""
    assert Outcome(FIRST) == decided(source(), after=FIRST)


def test_an_edit_has_the_next_number() -> None:
    """A comment is no edit of the map, though it is another version."""
    comment = {**ADMIN, "reader": "# read\nws GET_AUTHORS\n"}
    more = {**ADMIN, "reader": "ws GET_AUTHORS\nws GET_BOOKS\n"}
    same = decided(source(version=11, texts=comment), after=FIRST).compiled
    other = decided(source(version=12, texts=more), after=same).compiled
    assert [1, 2] == [same.revision, other.revision]


def test_a_number_that_pods_have_seen_is_not_used_again() -> None:
    """Also where the record of it is lost."""
    lost = decided(source(), known_revision=41).compiled
    behind = decided(source(), after=FIRST, known_revision=41).compiled
    assert [42, 42] == [lost.revision, behind.revision]


@pytest.mark.parametrize(
    ("texts", "finding"),
    [
        ({"reader": "ws GET_AUTHORS\nwss X\n"}, "reader:2: 'wss' is none of"),
        ({"a": "include b\n", "b": "include a\n"}, "includes go in a circle"),
        ({"a": "include nobody\n"}, "a:1: there is no role 'nobody'"),
        ({"a": "ws\tX\n"}, "a:1: character U+0009 in column 3"),
    ],
)
def test_a_bad_map_is_rejected_and_the_last_good_one_stays(
    texts: dict[str, str], finding: str
) -> None:
    """The reason names key and line."""
    outcome = decided(source(version=11, texts=texts), after=FIRST)
    (rejected,) = outcome.rejected
    assert finding in "; ".join(rejected.findings)
    assert FIRST.permission_map == outcome.compiled.permission_map
    assert 1 == outcome.compiled.revision
    assert 11 == outcome.compiled.sources["uid-1"].version


def test_a_role_of_two_maps_is_the_older_ones() -> None:
    """The newer map is rejected as a whole; edits of the older go on."""
    newer = source(2, texts={"reader": "ws *\n", "more": "ws ME\n"})
    outcome = decided(newer, source(), after=FIRST)
    (rejected,) = outcome.rejected
    assert newer == rejected.source
    assert ["reader: is a role of map-1, which is older"] == list(
        rejected.findings
    )
    edit = source(version=12, texts={**ADMIN, "reader": "ws *\n"})
    after = decided(newer, edit, after=outcome.compiled).compiled
    assert from_lines(edit.texts) == after.permission_map


def test_an_older_map_takes_one_role_of_a_newer_and_no_more() -> None:
    """What was good of the newer map stays, but for that role."""
    both = decided(source(), source(2, texts={"more": "ws ME\n"})).compiled
    edit = {**ADMIN, **READER, "more": "ws GET_BOOKS\n"}
    newer = source(2, version=11, texts={"more": "ws ME\n", "x": "ws ME\n"})
    grown = decided(source(), newer, after=both).compiled
    outcome = decided(source(version=12, texts=edit), newer, after=grown)
    assert [newer] == [one.source for one in outcome.rejected]
    assert (
        from_lines({**edit, "x": "ws ME\n"}) == outcome.compiled.permission_map
    )


def test_maps_that_no_configmap_can_hold_are_rejected() -> None:
    """The newer one is, with the reason; the older one is in force."""
    line = f"# {'x' * 998}\n"
    big = source(2, texts={"other": line * 998})
    outcome = decided(source(), big)
    (rejected,) = outcome.rejected
    assert big == rejected.source
    assert (
        "all maps together take 1000179 bytes, with what each role may do"
        " written out, and 1000000 is the most"
    ) == rejected.findings[0]
    assert FIRST.permission_map == outcome.compiled.permission_map


def test_a_map_that_grows_puts_the_newer_ones_out_and_says_so() -> None:
    """Nothing is in force that cannot be recorded."""
    big = {"big": f"# {'x' * 998}\n" * 400}
    first = decided(source(), source(2, texts=big)).compiled
    grown = source(version=12, texts={**ADMIN, **READER, "a": 2 * big["big"]})
    outcome = decided(grown, source(2, texts=big), after=first)
    assert ["map-2"] == [one.source.name for one in outcome.rejected]
    assert ["uid-1"] == list(outcome.compiled.sources)


def test_includes_that_multiply_without_end_are_rejected() -> None:
    """A text of some bytes could be a map of gigabytes."""
    texts = {"r0000": "".join(f"ws P{n}\n" for n in range(4000))}
    for number in range(1, 1000):
        texts[f"r{number:04}"] = f"include r{number - 1:04}\n"
    outcome = decided(source(version=11, texts=texts), after=FIRST)
    (rejected,) = outcome.rejected
    assert (
        "r0062: with what each role includes there are more than 250000"
        " permissions"
    ) == "; ".join(rejected.findings)
    assert FIRST.permission_map == outcome.compiled.permission_map


def test_a_newer_map_may_include_a_role_of_an_older_one() -> None:
    """All maps together are one."""
    editor = {"editor": "include reader\n"}
    outcome = decided(source(), source(2, texts=editor))
    assert () == outcome.rejected
    assert (
        from_lines({**ADMIN, **READER, **editor})
        == outcome.compiled.permission_map
    )


def test_a_deleted_map_stays_until_it_is_forgotten() -> None:
    """Then there is the built-in map."""
    kept = decided(after=FIRST)
    gone = decided(after=FIRST, forgotten={"uid-1"})
    assert Outcome(FIRST) == kept
    assert BUILT_IN == gone.compiled.permission_map
    assert {} == gone.compiled.sources


def test_a_map_that_is_made_anew_takes_its_own_place() -> None:
    """At once, before maps that include its roles; a bad one changes nothing.

    As `kubectl replace --force` does.
    """
    editor = source(2, texts={"editor": "include reader\n"})
    both = decided(source(), editor).compiled
    texts = {**ADMIN, "reader": "ws GET_AUTHORS\nws GET_BOOKS\n"}
    anew = source(3, version=20, name="map-1", texts=texts)
    outcome = decided(anew, editor, after=both)
    after = outcome.compiled
    assert () == outcome.rejected
    assert from_lines({**texts, **editor.texts}) == after.permission_map
    assert {"uid-2", "uid-3"} == set(after.sources)
    assert outcome == decided(anew, editor, after=after)
    bad = source(3, version=20, name="map-1", texts={"reader": "wss\n"})
    refused = decided(bad, editor, after=both)
    assert [bad] == [one.source for one in refused.rejected]
    assert both.permission_map == refused.compiled.permission_map


def test_the_built_in_map_is_in_force_whatever_the_last_map_gave() -> None:
    """It locks nobody out, and there is no map left to annotate."""
    rights = "".join(f"ws P{n}\n" for n in range(500))
    many = decided(source(texts={**ADMIN, "reader": rights})).compiled
    gone = decided(after=many, forgotten={"uid-1"})
    assert () == gone.rejected
    assert BUILT_IN == gone.compiled.permission_map


def test_a_deleted_map_that_must_stay_is_told_of() -> None:
    """Who is left says so, and what to annotate it with."""
    both = decided(source(texts=READER), source(2, texts=ADMIN)).compiled
    left = source(texts=READER)
    outcome = decided(left, after=both, forgotten={"uid-2"})
    (rejected,) = outcome.rejected
    assert left == rejected.source
    assert rejected.findings[0].startswith(
        "map-2 is deleted and stays in force: nobody would have"
    )
    assert both == outcome.compiled
    forced = source(texts=READER, force=from_lines(READER).digest)
    after = decided(forced, after=outcome.compiled, forgotten={"uid-2"})
    assert () == after.rejected
    assert from_lines(READER) == after.compiled.permission_map


def test_the_first_map_without_an_administrator_needs_force() -> None:
    """Until then the built-in map is in force."""
    outcome = decided(source(texts=READER))
    assert BUILT_IN == outcome.compiled.permission_map
    assert ["map-1"] == [one.source.name for one in outcome.rejected]
    again = decided(source(texts=READER), after=outcome.compiled)
    assert outcome == again
    forced = source(texts=READER, force=from_lines(READER).digest)
    assert from_lines(READER) == decided(forced).compiled.permission_map


def test_a_map_without_the_administrators_permissions_needs_force() -> None:
    """The annotation names the digest of exactly this map."""
    texts = {"reader": "ws GET_AUTHORS\nws GET_BOOKS\n"}
    digest = from_lines(texts).digest
    refused = decided(source(version=11, texts=texts), after=FIRST)
    (rejected,) = refused.rejected
    assert (
        f"nobody would have the permissions of admin; annotate it with"
        f" gatehouse.dev/force: {digest} to mean it"
    ) == rejected.findings[0]
    assert FIRST.permission_map == refused.compiled.permission_map
    forced = source(version=12, texts=texts, force=digest)
    outcome = decided(forced, after=refused.compiled)
    assert () == outcome.rejected
    assert from_lines(texts) == outcome.compiled.permission_map


def test_a_map_that_takes_more_than_half_needs_force() -> None:
    """Half of it may go at once."""
    rights = [f"ws P{n}\n" for n in range(9)]
    old = {**ADMIN, "reader": "".join(rights)}
    first = decided(source(texts=old)).compiled
    half = {**ADMIN, "reader": "".join(rights[:4])}
    more = {**ADMIN, "reader": "".join(rights[:3])}
    taken = decided(source(version=11, texts=half), after=first)
    refused = decided(source(version=11, texts=more), after=first)
    assert () == taken.rejected
    assert "6 of 10 permissions would be gone" in str(
        refused.rejected[0].findings
    )


def test_who_has_heard_less_than_was_decided_on_decides_nothing() -> None:
    """An older version of a recorded source is no news."""
    assert is_behind([source(version=9)], FIRST)
    assert not is_behind([source(version=10), source(2, version=1)], FIRST)
    assert not is_behind([source()], None)


LINES = st.sampled_from(
    (
        *("ws GET_AUTHORS", "ws *", "http GET /authors", "include a"),
        *("include b", "bad", "ws\tX", "# c", "", "\u202e", "ws P\r"),
    )
)
TEXTS = st.dictionaries(
    st.sampled_from(["a", "b", "admin", "_signed-in", "?"]),
    st.lists(LINES, max_size=4).map("\n".join),
    max_size=3,
)
EDITS = st.lists(st.lists(TEXTS, max_size=3), min_size=1, max_size=6)


@given(EDITS)
def test_no_edit_breaks_what_is_in_force(
    edits: list[list[dict[str, str]]],
) -> None:
    """Numbers only rise, with the map; every look again finds nothing."""
    compiled = None
    for version, maps in enumerate(edits, start=1):
        sources = [
            source(number, version, texts=texts)
            for number, texts in enumerate(maps, start=1)
        ]
        outcome = decided(*sources, after=compiled)
        after = outcome.compiled
        if compiled is not None:
            same = (
                compiled.permission_map.digest == after.permission_map.digest
            )
            assert after.revision - compiled.revision == (0 if same else 1)
        again = decided(*sources, after=after)
        assert after == again.compiled
        compiled = after


def test_the_built_in_map_can_be_edited() -> None:
    """What is seeded says what was in force."""
    seeded = decided(source(texts=to_lines(BUILT_IN)))
    assert BUILT_IN == seeded.compiled.permission_map
