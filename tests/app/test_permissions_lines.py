"""The permission map written by role, one permission a line."""

import pytest

from app.schemas.permissions import (
    PermissionMap,
    PermissionMapError,
    from_lines,
    to_lines,
)


def make(**parts: object) -> PermissionMap:
    return PermissionMap.parse({"roles": [], "ws": {}, "http": {}} | parts)


def faults(texts: dict[str, str]) -> list[str]:
    with pytest.raises(PermissionMapError) as caught:
        from_lines(texts)
    return list(caught.value.findings)


def test_lines_say_what_json_says() -> None:
    """Comments, blanks, includes and wildcards give the same map as JSON."""
    texts = {
        "_signed-in": "ws ME\nhttp GET /me",
        "reader": (
            "# one permission a line; größer → größer\n"
            "\n"
            "   ws   GET_AUTHORS   # all of them\n"
            "http GET /authors\n"
            "ws 6\n"
        ),
        "editor": "include reader\nws *\nhttp * /books/{id}\n",
        "nobody": "",
    }
    both = {"any": ["editor", "reader"]}
    expected = make(
        roles=["editor", "nobody", "reader"],
        ws={"ME": "*", "GET_AUTHORS": both, "6": both, "*": "editor"},
        http={
            "/me": {"GET": "*"},
            "/authors": {"GET": both},
            "/books/{id}": {"*": "editor"},
        },
    )
    assert expected == from_lines(texts)


def test_includes_reach_all_the_way() -> None:
    """A role has what those have that it includes, over several steps."""
    depth = 3000
    texts = {f"r{n}": f"include r{n + 1}" for n in range(depth)}
    found = from_lines({"r0": "include r1", **texts, f"r{depth}": "ws ME"})
    everybody = sorted(f"r{n}" for n in range(depth + 1))
    expected = make(roles=everybody, ws={"ME": {"any": everybody}})
    assert expected == found


def test_a_role_and_everybody_is_everybody() -> None:
    """What every signed-in user may do needs no role besides."""
    found = from_lines({"_signed-in": "include a", "a": "ws ME"})
    assert make(roles=["a"], ws={"ME": "*"}) == found


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("grant ME", "'grant' is none of ws, http, include"),
        ("WS ME", "'WS' is none of ws, http, include"),
        ("ws ME" + " " * 1996, "2001 characters are too many for a line"),
        ("ws", "not of the form: ws <PkgID name, number or *>"),
        ("ws A B", "not of the form: ws <PkgID name, number or *>"),
        ("ws -1", "'-1' is no PkgID name (GET_AUTHORS), number or *"),
        (
            "ws GET_\u0410UTHORS",
            "'GET_\\u0410UTHORS' is no PkgID name (GET_AUTHORS), number or *",
        ),
        (
            "http GET",
            "not of the form: http <METHOD or *> <route template>",
        ),
        (
            "http get /a",
            "'get' is no HTTP method in capitals (GET, POST) or *",
        ),
        ("http GET *", "'*' is no route template (/authors/{id})"),
        ("http GET /a#b", "'/a#b' is no route template (/authors/{id})"),
        ("include", "not of the form: include <role>"),
        ("include _signed-in", "'_signed-in' is reserved and no role"),
        ("include nobody", "there is no role 'nobody'"),
        ("include a", "includes go in a circle: a -> a"),
        (
            "ws ME\r",
            "character U+000D in column 6; use plain spaces and line feeds",
        ),
        (
            "ws\tME",
            "character U+0009 in column 3; use plain spaces and line feeds",
        ),
        (
            "\ufeffws ME",
            "character U+FEFF in column 1; use plain spaces and line feeds",
        ),
        (
            "ws\u00a0ME",
            "character U+00A0 in column 3; use plain spaces and line feeds",
        ),
        (
            "# \u202eEM sw",
            "character U+202E in column 3; use plain spaces and line feeds",
        ),
        (
            "ws ME\0",
            "character U+0000 in column 6; use plain spaces and line feeds",
        ),
        (
            "# \ud800",
            "character U+D800 in column 3; use plain spaces and line feeds",
        ),
    ],
)
def test_faults_name_key_and_line(line: str, why: str) -> None:
    """Each bad line is named by its key and number, with the reason."""
    assert [f"a:2: {why}"] == faults({"a": f"ws ME\n{line}\n"})


def test_every_bad_line_is_found() -> None:
    """All faults of all roles are reported at once, in a fixed order."""
    expected = [
        "a:1: not of the form: ws <PkgID name, number or *>",
        "a:3: 'x' is none of ws, http, include",
        "'b c' is no role name for a key (ASCII letters, digits and _.-)",
        "d:1: there is no role 'e'",
    ]
    texts = {"d": "include e", "a": "ws\nws ME\nx", "b c": ""}
    assert expected == faults(texts)


def test_a_circle_of_includes_is_shown() -> None:
    """A circle is named by an include in it, and shown as a whole."""
    texts = {"b": "include c", "c": "#\n\ninclude a", "a": "#\ninclude b"}
    expected = ["a:2: includes go in a circle: a -> b -> c -> a"]
    assert expected == faults(texts | {"z": "include a"})


def test_what_lines_cannot_say_is_named() -> None:
    """Rules for several roles at once and illegal keys are named."""
    found = make(
        roles=["a", "b", "orders:read"],
        ws={"ME": {"all": ["a", "b"]}, "GET_BOOKS": "c"},
    )
    expected = (
        (
            "'orders:read' is no role name for a key"
            " (ASCII letters, digits and _.-)"
        ),
        "ws GET_BOOKS: role 'c' is not declared in roles",
        "ws ME: lines cannot say all of a, b",
    )
    with pytest.raises(PermissionMapError) as caught:
        to_lines(found)
    assert expected == caught.value.findings


def test_lines_are_in_a_fixed_order() -> None:
    """A map is always written in the same way."""
    found = make(
        roles=["b", "a"],
        ws={"ME": "*", "GET_BOOKS": {"any": ["a", "b"]}},
        http={"/b": {"*": "a"}, "/a": {"PUT": "a", "GET": "a"}},
    )
    expected = [
        ("_signed-in", "ws ME\n"),
        ("a", "http GET /a\nhttp PUT /a\nhttp * /b\nws GET_BOOKS\n"),
        ("b", "ws GET_BOOKS\n"),
    ]
    assert expected == list(to_lines(found).items())
