"""`python -m app permissions`: shown, checked and converted maps."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from app.cli.permissions import permissions
from app.main import catalogue
from app.managers.rbac_rules import find_unknown
from app.schemas.permissions import from_lines, load_file

ACTIONS = Path(__file__).parents[2] / "actions.json"
RULES = json.loads(ACTIONS.read_text())
COUNT = len(RULES["ws"]) + sum(map(len, RULES["http"].values()))
GOOD = f"good, {COUNT} permissions for admin, editor, reader"

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    runner = CliRunner(env={"COLUMNS": "160", "TERM": "dumb"})

    def invoke(*arguments: object, stdin: str | None = None) -> Result:
        return runner.invoke(permissions, list(map(str, arguments)), stdin)

    return invoke


def test_the_own_map_is_good(run: Run) -> None:
    """The image's own map has a rule for every handler and no other."""
    expected = f"{ACTIONS}: {GOOD}\n"
    result = run("check", ACTIONS)
    assert expected == result.output
    assert result.exit_code == 0


def test_check_lists_every_finding(run: Run, tmp_path: Path) -> None:
    """A map that does not fit is refused, with a line for each finding."""
    document = json.loads(ACTIONS.read_text())
    del document["ws"]["ME"]
    document["http"]["/authors"]["PUT"] = "author"
    path = tmp_path / "actions.json"
    path.write_text(json.dumps(document))
    expected = (
        f"{path}: http PUT /authors: role 'author' is not declared in roles\n"
        f"{path}: ws ME: a handler without a rule\n"
        f"{path}: http PUT /authors: a rule without a handler\n"
    )
    result = run("check", path)
    assert expected == result.stderr
    assert result.exit_code == 1


@pytest.mark.parametrize("command", ["check", "show --file", "convert"])
def test_what_is_no_map_is_one_line(
    run: Run, command: str, tmp_path: Path
) -> None:
    """Every command says where a file stops being a map."""
    path = tmp_path / "actions.json"
    path.write_text("{\n")
    result = run(*command.split(), path)
    reason = "Expecting property name enclosed in double quotes"
    assert f"{path}:2:1: {reason}\n" == result.stderr
    assert result.exit_code == 1


def test_a_configmap_is_checked_and_shown_as_well(
    run: Run, tmp_path: Path
) -> None:
    """It is a map like any other."""
    path = tmp_path / "role-map.yaml"
    path.write_text(run("convert", ACTIONS).output)
    expected = f"{path}: {GOOD}\n"
    assert expected == run("check", path).output
    assert run("show", "--file", path).exit_code == 0


@pytest.mark.parametrize(
    "command", ["check", "show --file", "lint", "convert", "diff x.json"]
)
def test_a_file_that_is_missing_is_named(
    run: Run, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The numbers of the file system's errors help nobody."""
    monkeypatch.chdir(tmp_path)
    result = run(*command.split(), "x.json")
    assert result.stderr == "x.json: No such file or directory\n"


def test_show_tells_who_may(run: Run) -> None:
    """Each permission stands in one row with those who have it."""
    rows = [
        [cell.strip() for cell in line.split("│")[1:3]]
        for line in run("show", "--file", ACTIONS).output.splitlines()
        if line.startswith("│")
    ]
    assert ["http GET /me", "signed-in user"] in rows
    assert ["http POST /authors", "editor"] in rows
    assert ["ws GET_BOOKS", "reader"] in rows
    assert COUNT == len(rows)


def test_show_marks_what_does_not_fit(run: Run, tmp_path: Path) -> None:
    """What nobody may do and what does not exist stand in the table too."""
    path = tmp_path / "actions.json"
    path.write_text('{"roles": [], "ws": {"NEW": "*"}, "http": {}}')
    rows = [
        [cell.strip() for cell in line.split("│")[1:4]]
        for line in run("show", "--file", path).output.splitlines()
    ]
    assert ["ws ME", "nobody"] in [row[:2] for row in rows]
    assert ["ws NEW", "", "not in this version"] in rows


def test_convert_there_and_back(run: Run, tmp_path: Path) -> None:
    """JSON becomes a ConfigMap that becomes the same map again."""
    shown = run("convert", ACTIONS).output
    document = yaml.safe_load(shown)
    expected = load_file(ACTIONS)
    assert expected == from_lines(document["data"])
    assert document["kind"] == "ConfigMap"
    assert "  reader: |\n    http GET /authors\n" in shown
    path = tmp_path / "back.json"
    path.write_text(run("convert", "-", stdin=shown).output)
    assert expected == load_file(path)


def test_convert_reads_what_kubectl_prints(run: Run) -> None:
    """A ConfigMap may be JSON, and may have other parts."""
    configmap = {
        "kind": "ConfigMap",
        "metadata": {"name": "x", "managedFields": []},
        "data": {"reader": "ws ME\n", "true": "include reader\n"},
    }
    result = run("convert", "-", stdin=json.dumps(configmap))
    expected = {
        "roles": ["reader", "true"],
        "ws": {"ME": {"any": ["reader", "true"]}},
        "http": {},
    }
    assert expected == json.loads(result.output)
    there = run("convert", "-", stdin=result.output).output
    assert {"reader", "true"} == set(yaml.safe_load(there)["data"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "no ConfigMap, for it has no data"),
        ('{"ws": {}}', "roles: is missing"),
        ("data: [1]", "no ConfigMap, for it has no data"),
        ("data: {a: [ws ME]}", "data > 'a': is no text"),
        ("data:\n  a: ws ME\n  a: ws ME", "<stdin>:3:3: key 'a' is given"),
        ("data:\n  a: |\n    ws ME\n    x", "a:2: 'x' is none of ws, http"),
        ("a: b: c", "<stdin>:1:5: mapping values are not allowed here"),
        ("a: \0", "no YAML: "),
        ("data: !!python/name:os.system ", "no ConfigMap, for it has no data"),
        ("data: {a: &a [*a]}", "found unconstructable recursive node"),
        ("? [a]\n: b", "found unhashable key"),
        (
            (
                '{"roles": ["a", "b"], "ws": {"ME": {"all": ["a", "b"]}},'
                ' "http": {}}'
            ),
            "ws ME: lines cannot say all of a, b",
        ),
    ],
)
def test_convert_says_why_not(run: Run, text: str, expected: str) -> None:
    """What cannot be converted is named, in lines behind the file's name."""
    result = run("convert", "-", stdin=text)
    assert expected in result.stderr
    assert all(x.startswith("<stdin>:") for x in result.stderr.splitlines())
    assert result.exit_code == 1


ROLE_MAP = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: roles}
data:
  reader: |

    ws GET_AUTHORS
    wss GET_BOOKS
  editor: "include nobody"
"""


def test_lint_says_where_in_the_file_a_map_is_wrong(
    run: Run, tmp_path: Path
) -> None:
    """Line and column are those of the file, whatever the role's text is."""
    path = tmp_path / "roles.yaml"
    path.write_text(ROLE_MAP)
    result = run("lint", path)
    assert [
        f"{path}:9:12: editor: there is no role 'nobody'",
        f"{path}:8:5: reader: 'wss' is none of ws, http, include",
    ] == sorted(result.stderr.splitlines(), reverse=True)
    assert result.exit_code == 1


def test_lint_knows_what_this_version_has(run: Run, tmp_path: Path) -> None:
    """A good map is told of, and so is a permission that there is not."""
    good, strange = tmp_path / "good.yaml", tmp_path / "strange.yaml"
    good.write_text(run("convert", ACTIONS).stdout)
    text = "data:\n  a: |\n    ws GET_AUTHORS\n    ws GET_PAPERS\n"
    strange.write_text(text)
    result = run("lint", good, ACTIONS, strange)
    assert f"{good}: good\n{ACTIONS}: good\n" == result.stdout
    assert (
        f"{strange}:4:5: a: ws GET_PAPERS: not in this version\n"
        == result.stderr
    )
    assert result.exit_code == 1


def test_diff_shows_what_a_map_gives_and_takes(
    run: Run, tmp_path: Path
) -> None:
    """It compares either kind with either, and ends with 1 if they differ."""
    new = tmp_path / "new.yaml"
    lines = run("convert", ACTIONS).stdout
    new.write_text(lines)
    same = run("diff", ACTIONS, new)
    new.write_text(
        lines.replace("    ws GET_AUTHORS\n", "    ws UPDATE_BOOK\n")
    )
    other = run("diff", ACTIONS, new)
    assert (0, "+0 \N{MINUS SIGN}0 permissions in 0 roles\n") == (
        same.exit_code,
        same.stdout,
    )
    expected = (
        "reader\n- ws GET_AUTHORS\n+ ws UPDATE_BOOK\n"
        "+1 \N{MINUS SIGN}1 permissions in 1 role\n"
    )
    assert (1, expected) == (other.exit_code, other.stdout)


def test_diff_of_what_is_no_map_ends_with_2(run: Run, tmp_path: Path) -> None:
    """A fault is told apart from a difference."""
    path = tmp_path / "roles.yaml"
    path.write_text(ROLE_MAP)
    assert run("diff", ACTIONS, path).exit_code == 2


def test_catalogue_has_all_that_a_line_may_name(run: Run) -> None:
    """Every line of it makes a map that lint finds nothing against."""
    lines = json.loads(run("catalogue").stdout)
    assert {"ws *", "ws 1", "ws ME", "http * /authors"} <= set(lines)
    known = catalogue()
    assert [] == find_unknown(from_lines({"all": "\n".join(lines)}), known)
    assert "http GET /nope" not in lines
