"""`make new-ws-handlers`, on copies of the working tree."""

import asyncio
import difflib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest
from typer.testing import CliRunner, Result

from app.api.ws.constants import PkgID
from app.cli import new_ws_handlers
from app.dev.config import ROOT
from app.scaffold.errors import Refused
from app.scaffold.plan import Change
from app.scaffold.words import (
    MAX_FIELD_LENGTH,
    MAX_NAME_LENGTH,
    MAX_NOUN_LENGTH,
    noun_of,
    plural_of,
)
from app.scaffold.writing import write_all
from tests.fixtures.servers import Servers

LONGEST = f"A{'B' * (MAX_NAME_LENGTH - 1)}"
LONGEST_PUSH = f"C{'D' * (MAX_NAME_LENGTH - 1)}"
NOUN = "n" * MAX_NOUN_LENGTH
ORDERS = [
    *("--name", "GET_PUBLISHERS", "--role", "reader"),
    *("--fields", "id:Id name:Name known:bool"),
], [
    *("--name", "PUBLISHERS_CHANGED", "--push"),
    *("--read", "GET_PUBLISHERS"),
], [
    *("--name", "COUNT_BOOKS", "--role", "admin", "--writes"),
], [
    *("--name", "PING", "--role", "*", "--id", "99"),
], [
    *("--name", "DOORS_CLOSE", "--push", "--read", "*"),
], [
    *("--name", LONGEST, "--noun", NOUN, "--id", "98"),
    *("--role", "editor", "--writes", "--fields"),
    f"{'f' * MAX_FIELD_LENGTH}:Name id:Id",
], [
    *("--name", LONGEST_PUSH, "--noun", NOUN, "--id", "999"),
    *("--push", "--read", LONGEST),
]  # fmt: skip
MESSAGES = {
    "GET_PUBLISHERS": "reader",
    "COUNT_BOOKS": "admin",
    "PING": "signed-in user",
    LONGEST: "editor",
}

ROLES = "admin, editor, reader"

Run = Callable[..., Result]


def copied(folder: Path) -> Path:
    """Make a tree of what the generator and the gates read."""
    for name in ("app", "operator", "tests"):
        shutil.copytree(
            ROOT / name,
            folder / name,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    for name in ("actions.json", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    return folder


def run_in(
    folder: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a module of Python in a tree, as `make` does."""
    return subprocess.run(
        (sys.executable, "-m", *arguments),
        cwd=folder,
        env=os.environ | {"COLUMNS": "160"} | environment,
        check=False,
        capture_output=True,
        text=True,
    )


def hash_of(folder: Path) -> str:
    """Return what changes with any name or content in a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if "__pycache__" not in path.parts:
            digest.update(str(path).encode())
            digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


def run_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs the verb on a tree, from this process."""
    monkeypatch.setattr(new_ws_handlers, "ROOT", folder)
    runner = CliRunner()

    def run(*arguments: str, stdin: str | None = None) -> Result:
        return runner.invoke(new_ws_handlers.cli, list(arguments), stdin)

    return run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree with messages of every kind.

    The first is made as `make` does it, the others sooner.
    """
    folder = copied(tmp_path_factory.mktemp("made"))
    first, *others = ORDERS
    ran = run_in(folder, "app", "new-ws-handlers", *first)
    assert (0, "") == (ran.returncode, ran.stderr)
    with pytest.MonkeyPatch.context() as monkeypatch:
        run = run_on(folder, monkeypatch)
        for order in others:
            result = run(*order)
            assert 0 == result.exit_code, result.output
    return folder


@pytest.fixture(scope="module")
def made_files(made: Path) -> list[str]:
    """The modules that the tree has and this one has not."""
    found = (path.relative_to(made) for path in made.rglob("*.py"))
    return sorted(str(path) for path in found if not (ROOT / path).exists())


def test_messages_are_shown_with_their_handlers(made: Path) -> None:
    """`make ws-handlers` has them, and finds nothing wrong."""
    ran = run_in(made, "app", "ws-handlers")
    assert (0, "") == (ran.returncode, ran.stderr)
    rows = [
        [cell.strip() for cell in line.split("│")[2:5]]
        for line in ran.stdout.splitlines()
    ]
    found = {row[0]: row[1] for row in rows if row and row[0] in MESSAGES}
    assert MESSAGES == found
    assert ["GET_PUBLISHERS", "reader", "publisher.get_publishers"] in rows
    assert ["COUNT_BOOKS", "admin", "book.count_books"] in rows


@pytest.mark.parametrize(
    "gate",
    ["ruff check", "ruff format --check", "vulture", "interrogate app"],
)
def test_what_is_made_passes_the_gates(made: Path, gate: str) -> None:
    """Nothing has to be mended by hand, however long the names are."""
    ran = run_in(made, *gate.split())
    assert 0 == ran.returncode, ran.stdout + ran.stderr


def test_types_are_right(made: Path, made_files: list[str]) -> None:
    """Mypy is strict about the modules that are new."""
    handlers = [f for f in made_files if not f.startswith("tests")]
    tests = [f for f in made_files if f.startswith("tests")]
    assert (7, 7) == (len(handlers), len(tests))
    # What `make mypy` knows of the other modules is true of their copies.
    with suppress(FileNotFoundError, shutil.Error):
        shutil.copytree(ROOT / ".mypy_cache", made / ".mypy_cache")
    ran = run_in(made, "mypy", *made_files)
    assert 0 == ran.returncode, ran.stdout


@pytest.fixture
async def no_database_left(servers: Servers) -> AsyncIterator[None]:
    """Remove the databases that other runs of tests have made meanwhile."""
    connection = await asyncpg.connect(servers.database_url)
    query = "SELECT datname FROM pg_database"
    before = {name for (name,) in await connection.fetch(query)}
    yield
    for (name,) in await connection.fetch(query):
        if name not in before:
            await connection.execute(f"DROP DATABASE {name} (FORCE)")
    await connection.close()


@pytest.mark.usefixtures("no_database_left")
async def test_the_tests_that_are_made_pass(
    made: Path, made_files: list[str], servers: Servers
) -> None:
    """They are about a real service, which answers and denies."""
    tests = [name for name in made_files if name.startswith("tests")]
    short = [name for name in tests if len(name) < MAX_NAME_LENGTH]
    ran = await asyncio.to_thread(
        run_in,
        made,
        *("pytest", "-q", "-n0", "-p", "no:cacheprovider"),
        *short,
        **servers.environment,
        DEV_DATA_DIR=str(made / "data"),
    )
    assert 0 == ran.returncode, ran.stdout
    assert "12 passed" in ran.stdout


def test_other_lines_stay_as_they_are(made: Path) -> None:
    """Numbers are in order, and only lines are added."""
    message = max(n for n in PkgID if n < 100) + 1
    push = max(PkgID) + 1
    before = (ROOT / "app/api/ws/constants.py").read_text().splitlines()
    after = (made / "app/api/ws/constants.py").read_text().splitlines()
    assert [
        f"+     GET_PUBLISHERS = {message}",
        f"+     COUNT_BOOKS = {message + 1}",
        f"+     {LONGEST} = 98",
        "+     PING = 99",
        f"+     PUBLISHERS_CHANGED = {push}",
        f"+     DOORS_CLOSE = {push + 1}",
        f"+     {LONGEST_PUSH} = 999",
    ] == [d for d in difflib.ndiff(before, after) if d[:2] != "  "]


def test_rules_are_in_the_order_of_numbers(made: Path) -> None:
    """The role map has a line more for each message, as it was written."""
    text = (ROOT / "actions.json").read_text()
    name, role = list(json.loads(text)["ws"].items())[-1]
    last = f'    "{name}": "{role}"'
    added = [
        '    "GET_PUBLISHERS": "reader"',
        '    "COUNT_BOOKS": "admin"',
        f'    "{LONGEST}": "editor"',
        '    "PING": "*"',
    ]
    expected = text.replace(last, ",\n".join([last, *added]))
    assert expected == (made / "actions.json").read_text()


def test_a_module_that_is_there_is_added_to(made: Path) -> None:
    """Its imports are merged, and all else is before what is new."""
    name = "app/api/ws/handlers/book.py"
    before = (ROOT / name).read_text().splitlines()
    after = (made / name).read_text().splitlines()
    kept = before.index("pkg_router = PackageRouter()")
    new = after.index(before[kept])
    imports = "\n".join(after[:new])
    assert ("from app.schemas.book import", 1) == (
        imports[imports.rindex("from", 0, imports.index("CountBooks")) :][:28],
        imports.count("from app.schemas.book import"),
    )
    old = before[kept:]
    assert old == after[new : new + len(old)]
    assert "async def count_books(" in after[new + len(old) :]


def test_both_kinds_share_the_module_of_their_noun(made: Path) -> None:
    """A push is declared below the router, for who may read."""
    text = (made / "app/api/ws/handlers/publisher.py").read_text()
    assert (
        "pkg_router = PackageRouter()\n"
        "pkg_router.push("
        "PkgID.PUBLISHERS_CHANGED, read=PkgID.GET_PUBLISHERS)\n\n\n"
        "@pkg_router.register(\n"
        "    PkgID.GET_PUBLISHERS, json_schema=GetPublishers,"
        " reply=Reply(GetPublishers)\n)"
    ) in text


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree in which nothing is ever made."""
    folder = copied(tmp_path_factory.mktemp("pristine"))
    (folder / "tests/app/test_ws_get_walls.py").mkdir()
    (folder / "app/schemas/fence.py").write_text("class (")
    (folder / "app/api/ws/handlers/hedge.py").write_text("ROUTER = None\n")
    (folder / "app/api/ws/handlers/gate").mkdir()
    return folder


NAMED = "--name GET_DOORS --role reader"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--name get_doors", "'get_doors' is no name like GET_PUBLISHERS"),
        ("--name GET__DOORS", "'GET__DOORS' is no name like GET_PUBLISHERS"),
        ("--name 9_DOORS", "'9_DOORS' is no name like GET_PUBLISHERS"),
        ("--name IMPORT", "IMPORT would make 'import', which is taken"),
        ("--name PRINT", "PRINT would make 'print', which is taken"),
        ("--name CONTEXT", "CONTEXT would make 'Context', which is taken"),
        (f"--name {'A' * 49}", f"{'A' * 49} has more than 48 characters"),
        ("--name GET_AUTHORS", "GET_AUTHORS is taken: it is number 1"),
        ("--name GET_WALLS", "tests/app/test_ws_get_walls.py is in the way"),
        (f"{NAMED} --id 7", "number 7 is taken: it is CREATE_BOOK"),
        (f"{NAMED} --id 0", "number 0 is not from 1 to 999"),
        (f"{NAMED} --id 1000", "number 1000 is not from 1 to 999"),
        (f"{NAMED} --id -1", "'-1' is no number"),
        (
            "--name GET_DOORS --role porter",
            f"unknown role 'porter': actions.json has {ROLES}, or *",
        ),
        (f"{NAMED} --noun Door", "'Door' is no module's name like publisher"),
        (f"{NAMED} --noun ../x", "'../x' is no module's name like publisher"),
        (
            f"{NAMED} --noun class",
            "'class' is no module's name like publisher",
        ),
        (f"{NAMED} --noun fence", "app/schemas/fence.py:1: is no Python"),
        (
            f"{NAMED} --noun hedge",
            "app/api/ws/handlers/hedge.py has no pkg_router to register with",
        ),
        (f"{NAMED} --noun gate", "app/api/ws/handlers/gate is in the way"),
        (
            "--name BOOK_INPUT --role reader --noun book",
            "app/schemas/book.py has a BookInput already",
        ),
        (
            f"{NAMED} --fields id",
            "'id' is no field like id:Id; types are Id, Name, bool",
        ),
        (
            f"{NAMED} --fields id:int",
            "'id:int' is no field like id:Id; types are Id, Name, bool",
        ),
        (f"{NAMED} --fields Id:Id", "'Id' is no field's name like author_id"),
        (f"{NAMED} --fields copy:Id", "a field cannot have the name copy"),
        (
            f"{NAMED} --read ME",
            "--read is not for a request",
        ),
        (f"{NAMED} --push", "--role is not for a push"),
        ("--name HI --push --read NO", "there is no message 'NO'"),
        (
            "--name HI --push --read AUTHENTICATE",
            "AUTHENTICATE has no rule in actions.json to go by",
        ),
        (
            "--name HI --push --read * --noun hedge",
            "app/api/ws/handlers/hedge.py has no pkg_router to register with",
        ),
    ],
)
def test_what_cannot_be_made_changes_nothing(
    pristine: Path, monkeypatch: pytest.MonkeyPatch, options: str, said: str
) -> None:
    """A line says why."""
    before = hash_of(pristine)
    run = run_on(pristine, monkeypatch)
    result = run(*options.split())
    assert (1, f"{said}\n") == (result.exit_code, result.output)
    assert before == hash_of(pristine)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"roles": [], "ws": {"GET_DOORS": "*"}, "http": {}}', "a rule for"),
        ('{"roles": [], "ws": {"13": "*"}, "http": {}}', "number 13 is taken"),
        ("{", "actions.json:1:2: "),
        (None, "actions.json: is not there; this works on a clone"),
    ],
)
def test_a_role_map_that_does_not_fit(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str | None,
    said: str,
) -> None:
    """It has the name or the number, is no map, or is missing."""
    tree = copied(tmp_path)
    (tree / "actions.json").unlink()
    if text is not None:
        (tree / "actions.json").write_text(text)
    before = hash_of(tree)
    run = run_on(tree, monkeypatch)
    result = run(*["--name", "GET_DOORS", "--id", "13", "--role", "*"])
    assert 1 == result.exit_code
    assert said in result.output
    assert 1 == len(result.output.splitlines())
    assert before == hash_of(tree)


ANSWERS = ["get_doors", "GET_DOORS", "n", "3", "97", "", "porter", "reader"]
ANSWERS += ["id", "id:Id", "y"]


def test_a_person_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be is asked for again; at the end all files are told."""
    tree = copied(tmp_path)
    before = set(tree.rglob("*.py"))
    result = run_on(tree, monkeypatch)(stdin="\n".join([*ANSWERS, ""]))
    assert 0 == result.exit_code, result.output
    for said in (
        "'get_doors' is no name",
        "number 3 is taken: it is CREATE_AUTHOR",
        "Module [door]",
        "unknown role 'porter'",
        "'id' is no field like id:Id",
        "GET_DOORS is number 97",
    ):
        assert said in result.output
    new = [path.relative_to(tree) for path in {*tree.rglob("*.py")} - before]
    told = [path for path in new if f"new      {path}" in result.output]
    assert (3, new) == (len(new), told)
    handler = (tree / "app/api/ws/handlers/door.py").read_text()
    assert "reply=Reply(GetDoors)" in handler
    assert "writes=True" in handler


@pytest.mark.parametrize("count", range(len(ANSWERS)))
def test_a_person_who_leaves_changes_nothing(
    pristine: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Nothing is written before the last answer."""
    before = hash_of(pristine)
    stdin = "\n".join([*ANSWERS[:count], ""] if count else [])
    result = run_on(pristine, monkeypatch)(stdin=stdin)
    assert 1 == result.exit_code
    assert before == hash_of(pristine)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one file, which only its owner may read."""
    (tmp_path / "old.txt").write_text("old")
    (tmp_path / "old.txt").chmod(0o600)
    (tmp_path / "taken").mkdir()
    return tmp_path


OLD = Change("old.txt", "changed", is_new=False)
NEW = Change("new.txt", "new", is_new=True)


@pytest.mark.parametrize("path", ["missing/new.txt", "taken"])
def test_all_is_as_it_was_if_a_file_cannot_be_written(
    folder: Path, path: str
) -> None:
    """Also what has been written by then."""
    before = hash_of(folder)
    with pytest.raises(Refused, match=path.rpartition("/")[2]):
        write_all(folder, [OLD, NEW, Change(path, "text", is_new=True)])
    assert before == hash_of(folder)


def test_an_interruption_waits_until_all_is_written(folder: Path) -> None:
    """Ctrl-C between two files leaves no half."""

    def interrupted() -> Iterator[Change]:
        yield OLD
        signal.raise_signal(signal.SIGINT)
        yield NEW

    with pytest.raises(KeyboardInterrupt):
        write_all(folder, interrupted())
    assert "changed" == (folder / "old.txt").read_text()
    assert "new" == (folder / "new.txt").read_text()
    assert 0o600 == (folder / "old.txt").stat().st_mode & 0o777
    assert 3 == len(list(folder.iterdir()))


@pytest.mark.parametrize(
    ("name", "noun"),
    [
        ("GET_PUBLISHERS", "publisher"),
        ("LIST_CATEGORIES", "category"),
        ("GET_BOXES", "box"),
        ("GET_STATUS", "status"),
        ("GET_OLD_CLASSES", "old_class"),
        ("GET_PAGINATED_AUTHORS", "author"),
        ("PING", "ping"),
    ],
)
def test_a_noun_is_guessed(name: str, noun: str) -> None:
    """It is what follows the verb, or one that there is."""
    assert noun == noun_of(name, {"author", "book"})


@pytest.mark.parametrize(
    ("word", "several"),
    [("author", "authors"), ("category", "categories"), ("box", "boxes")],
)
def test_several_have_a_name(word: str, several: str) -> None:
    """Texts speak of all things of a kind."""
    assert several == plural_of(word)
