"""A package of another team, as docs/apps.md has it, in real processes."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from app.api.ws.constants import RSPCode
from app.dev.config import ROOT
from app.settings import DatabaseSettings
from app.storage.schema import VERSIONS
from tests.fixtures.processes import (
    GUNICORN,
    SERVE,
    ServiceProcess,
    StartService,
)
from tests.fixtures.service import AsUser
from tests.fixtures.sockets import ask

FILE = re.compile(
    r"^`([\w./]+)` (?:[^\n]+\n)+\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
"""A block of the page, under a paragraph that begins with a file's name."""
SOURCE = "gatehouse.apps: greetings = greetings (acme-greetings 1.0)"
HEAD = "9d27c40b6a15"
OURS = "c58f2e7b1a04"
SECONDS = 30
MIGRATION = "greetings/migrations/versions/0001_greetings.py"


def install(folder: Path, entry: str, package: str) -> None:
    """Write what an installer writes beside a package."""
    info = folder / f"acme_{entry}-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: acme-{entry}\nVersion: 1.0\n"
    )
    points = f"[gatehouse.apps]\n{entry} = {package}\n"
    (info / "entry_points.txt").write_text(points)


@pytest.fixture
def greetings(tmp_path: Path) -> Path:
    """A folder with the page's package, installed, and its whole role map."""
    page = (ROOT / "docs/apps.md").read_text()
    for name, text in FILE.findall(page):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    project = tomllib.loads((tmp_path / "pyproject.toml").read_text())
    points = project["project"]["entry-points"]["gatehouse.apps"]
    for entry, package in points.items():
        install(tmp_path, entry, package)
    role_map = json.loads((ROOT / "actions.json").read_text())
    lines = json.loads((tmp_path / "actions.json").read_text())
    for protocol, rules in lines.items():
        role_map[protocol] |= rules
    (tmp_path / "actions.json").write_text(json.dumps(role_map))
    return tmp_path


def run(
    folder: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a verb where the folder's packages are installed."""
    return subprocess.run(
        (sys.executable, "-m", "app", *arguments),
        cwd=ROOT,
        env=os.environ
        | {"PYTHONPATH": str(folder), "COLUMNS": "160"}
        | environment,
        check=False,
        capture_output=True,
        text=True,
    )


def said(folder: Path, *arguments: str, **environment: str) -> str:
    """Run a verb that goes well, and return what it says."""
    ran = run(folder, *arguments, **environment)
    assert (0, "") == (ran.returncode, ran.stderr)
    return ran.stdout


def cells(table: str) -> list[list[str]]:
    """Return the rows of a table."""
    lines = (line for line in table.splitlines() if "│" in line)
    return [[c.strip() for c in line.split("│")[1:-1]] for line in lines]


def replace(path: Path, old: str, new: str) -> None:
    """Change a text that a file has once."""
    text = path.read_text()
    assert 1 == text.count(old)
    path.write_text(text.replace(old, new))


def test_what_is_installed_is_shown(greetings: Path) -> None:
    """Each verb that speaks of the surface has theirs beside ours."""
    role_map = str(greetings / "actions.json")
    messages = cells(said(greetings, "ws-handlers", "--file", role_map))
    routes = cells(said(greetings, "routes", "--file", role_map))
    catalogue = json.loads(said(greetings, "permissions", "catalogue"))
    openapi = json.loads(said(greetings, "openapi", "--file", role_map))
    asyncapi = json.loads(said(greetings, "asyncapi", "--file", role_map))
    assert ["1000", "GREET", "editor", "api.greet"] == messages[-1]
    assert ["0", "AUTHENTICATE"] == messages[0][:2]
    assert ["POST", "/greetings", "editor"] == routes[-1]
    ours = json.loads((ROOT / "operator/permissions.json").read_text())
    assert {
        *("ws GREET", "ws 1000"),
        *("http POST /greetings", "http * /greetings"),
    } == set(catalogue) - set(ours)
    assert set(ours) <= set(catalogue)
    assert "/greetings" in openapi["paths"]
    assert "GREET.request" in asyncapi["components"]["messages"]


def test_role_map_is_about_both(greetings: Path) -> None:
    """A map without the lines of a package does not start, and says why."""
    good = said(
        greetings, "permissions", "check", str(greetings / "actions.json")
    )
    ran = run(greetings, "ws-handlers")
    assert ": good, " in good
    assert [
        "ACTIONS_FILE_PATH: http POST /greetings: a handler without a rule",
        "ws GREET: a handler without a rule",
    ] == ran.stderr.splitlines()


async def test_schema_has_their_branch(
    greetings: Path, empty_database: DatabaseSettings
) -> None:
    """Every verb of the schema speaks of both branches."""
    assert empty_database.database_url is not None
    url = empty_database.database_url.get_secret_value()

    async def verb(*arguments: str) -> str:
        lines = await asyncio.to_thread(
            said, greetings, *arguments, DATABASE_URL=url
        )
        return lines.splitlines()[-1]

    both = f"The schema is at {HEAD}, {OURS}"
    assert [
        f"{both} and was at nothing",
        f"{both}, which is this version's",
        f"The schema is at {OURS} and was at {HEAD}, {OURS}",
        f"The schema is at {OURS}: there is nothing to undo",
    ] == [
        await verb("migrate"),
        await verb("wait-for-schema"),
        await verb("rollback", "--app", "greetings"),
        await verb("rollback", "--app", "greetings"),
    ]
    behind = await asyncio.to_thread(run, greetings, "seed", DATABASE_URL=url)
    assert f"needs {HEAD}, {OURS}: run " in behind.stderr
    agreed = await verb("test-migrations")
    assert "All migrations went up, down and up; the models agree" == agreed
    history = await asyncio.to_thread(said, greetings, "migration-history")
    assert "Greetings." in history


async def test_revisions_are_written_for_them(
    greetings: Path, empty_database: DatabaseSettings
) -> None:
    """The first one begins a branch, the next ones follow it."""
    assert empty_database.database_url is not None
    url = empty_database.database_url.get_secret_value()
    ours = sorted(VERSIONS.iterdir())
    shutil.rmtree(greetings / "greetings/migrations")

    async def verb(*arguments: str) -> str:
        return await asyncio.to_thread(
            said, greetings, *arguments, DATABASE_URL=url
        )

    await verb("migrate")
    await verb("migration", "--app", "greetings", "first")
    await verb("migrate")
    replace(
        greetings / "greetings/models.py",
        "    name: str =",
        "    tone: int | None = None\n    name: str =",
    )
    await verb("migration", "--app", "greetings", "second")
    await verb("migrate")
    folder = greetings / "greetings/migrations/versions"
    (first,) = folder.glob("*_first.py")
    (second,) = folder.glob("*_second.py")
    assert "branch_labels: str | Sequence[str] | None = (" in first.read_text()
    assert '"greeting",\n' in first.read_text()
    assert 'add_column("greeting", sa.Column("tone"' in second.read_text()
    assert "author" not in first.read_text() + second.read_text()
    assert ours == sorted(VERSIONS.iterdir())


@pytest.fixture
async def process(
    request: pytest.FixtureRequest,
    greetings: Path,
    empty_database: DatabaseSettings,
    start_service: StartService,
) -> AsyncIterator[ServiceProcess]:
    """A process with the package, on a migrated database of its own."""
    assert empty_database.database_url is not None
    url = empty_database.database_url.get_secret_value()
    await asyncio.to_thread(said, greetings, "migrate", DATABASE_URL=url)
    settings = {
        "DATABASE_URL": url,
        "PYTHONPATH": str(greetings),
        "ACTIONS_FILE_PATH": str(greetings / "actions.json"),
        "MAIN_REDIS_DB": "7",
    }
    async with start_service(request.param, **settings) as service:
        yield service


@pytest.mark.parametrize(
    "process", [SERVE, GUNICORN], ids=["serve", "gunicorn"], indirect=True
)
async def test_service_answers_their_commands(
    process: ServiceProcess, as_user: AsUser
) -> None:
    """Both protocols do what the package says, for whom the map says."""
    greet: dict[str, Any] = {"name": "Ada"}
    async with httpx.AsyncClient(base_url=process.url) as client:
        created = await client.post(
            "/greetings", json=greet, headers=as_user("editor")
        )
        denied = await client.post(
            "/greetings", json=greet, headers=as_user("reader")
        )
    async with connect(
        process.ws_url, additional_headers=as_user("editor"), proxy=None
    ) as socket:
        reply = await ask(socket, 1000, greet)
        wrong = await ask(socket, 1000, {})
    assert (201, {"id": 1, "text": "Hello, Ada"}) == (
        created.status_code,
        created.json(),
    )
    assert (403, "http POST /greetings") == (
        denied.status_code,
        denied.json()["permission"],
    )
    assert {"id": 2, "text": "Hello, Ada"} == reply["data"]
    assert RSPCode.INVALID_DATA == wrong["status_code"]


@pytest.mark.parametrize(
    "process", [(*SERVE, "--reload")], ids=["reload"], indirect=True
)
async def test_service_starts_again_when_their_code_changes(
    process: ServiceProcess, as_user: AsUser, greetings: Path
) -> None:
    """Who works on a package sees what he has written."""
    commands = greetings / "greetings/commands.py"
    await asyncio.to_thread(replace, commands, "Hello", "Good morning")
    async with (
        asyncio.timeout(SECONDS),
        httpx.AsyncClient(base_url=process.url) as client,
    ):
        text = "Hello, Ada"
        while text == "Hello, Ada":
            with suppress(httpx.TransportError):
                created = await client.post(
                    "/greetings",
                    json={"name": "Ada"},
                    headers=as_user("editor"),
                )
                text = created.json().get("text", text)
            await asyncio.sleep(0.1)
    assert "Good morning, Ada" == text


def other_package(folder: Path, number: int, name: str, path: str) -> None:
    """Install a second package, which has one message and one route."""
    install(folder, "waves", "waves")
    (folder / "waves.py").write_text(
        "from enum import IntEnum\n"
        "from app.routing import PackageRouter\n"
        "from fastapi import APIRouter\n"
        f"WaveID = IntEnum('WaveID', {{{name!r}: {number}}})\n"
        "router, pkg_router = APIRouter(), PackageRouter()\n"
        f"@router.post({path!r})\n"
        "async def wave_over_http():\n"
        "    return None\n"
        "@pkg_router.register(WaveID(" + str(number) + "))\n"
        "async def wave(request, context):\n"
        "    return None\n"
    )


@pytest.mark.parametrize(
    ("number", "name", "path", "expected"),
    [
        (
            *(999, "WAVE", "/waves"),
            "WAVE = 999 (waves): numbers of waves are from 1000 to 999999999",
        ),
        (
            *(1000, "WAVE", "/waves"),
            (
                "WAVE = 1000 (waves): the number is that of"
                " GREET = 1000 (greetings.api)"
            ),
        ),
        (
            *(1001, "GREET", "/waves"),
            (
                "GREET = 1001 (waves): the name is that of"
                " GREET = 1000 (greetings.api)"
            ),
        ),
        (
            *(1001, "SERVER_NOTICE", "/waves"),
            (
                "SERVER_NOTICE = 1001 (waves): the name is that of"
                " SERVER_NOTICE = 103 (app.api.ws.handlers.subscription)"
            ),
        ),
        (
            *(1001, "wave", "/waves"),
            (
                "wave = 1001 (waves): 'wave' is no PkgID name (GET_AUTHORS),"
                " number or *"
            ),
        ),
        (
            *(1001, "WAVE", "/greetings"),
            (
                "POST /greetings (waves): there is"
                " POST /greetings (greetings.api)"
            ),
        ),
        (
            *(1001, "WAVE", "/authors"),
            (
                "POST /authors (waves): there is"
                " POST /authors (app.api.http.author)"
            ),
        ),
    ],
    ids=[
        *("below", "number", "name", "push", "unsayable", "route", "ours"),
    ],
)
def test_packages_that_do_not_go_together_are_named(
    greetings: Path, number: int, name: str, path: str, expected: str
) -> None:
    """Two of one number, name or route, or a number of ours, stop it."""
    other_package(greetings, number, name, path)
    ran = run(greetings, "permissions", "catalogue")
    assert (1, "", f"{expected}\n") == (
        ran.returncode,
        ran.stdout,
        ran.stderr,
    )


def test_packages_that_go_together_are_one_surface(greetings: Path) -> None:
    """Theirs come after ours, in the order of their names."""
    other_package(greetings, 1001, "WAVE", "/waves")
    catalogue = json.loads(said(greetings, "permissions", "catalogue"))
    assert {"ws GREET", "ws WAVE", "http POST /waves"} <= set(catalogue)


def test_router_that_two_modules_name_is_one(greetings: Path) -> None:
    """A package may take up its routers in its `__init__.py`."""
    text = "from greetings.api import pkg_router, router\n"
    (greetings / "greetings/__init__.py").write_text(text)
    catalogue = json.loads(said(greetings, "permissions", "catalogue"))
    assert "ws GREET" in catalogue


@pytest.mark.parametrize(
    ("package", "reason"),
    [
        ("greetings:app", "'greetings:app' is no package"),
        ("app.api", "'app.api' is not theirs"),
        ("nowhere", "there is no package 'nowhere'"),
        (
            "nowhere.below",
            (
                "nowhere.below cannot be imported: ModuleNotFoundError:"
                " No module named 'nowhere'"
            ),
        ),
    ],
)
def test_entry_point_that_names_nothing_is_named(
    tmp_path: Path, package: str, reason: str
) -> None:
    """It is said in one line, before the schema or the surface is read."""
    install(tmp_path, "greetings", package)
    source = SOURCE.replace("= greetings (", f"= {package} (")
    for verb in (("migration-history",), ("permissions", "catalogue")):
        ran = run(tmp_path, *verb)
        assert (1, f"{source}: {reason}\n") == (ran.returncode, ran.stderr)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("import nothing_here", "ModuleNotFoundError: No module named"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def", "SyntaxError: invalid syntax"),
        ("pkg_router.register(GreetingID.GREET)(greet)", "ValueError: pkg_id"),
    ],
)
async def test_module_that_cannot_be_imported_is_named(
    greetings: Path, line: str, reason: str
) -> None:
    """Whatever it raises, it is one line that says where."""
    path = greetings / "greetings/api.py"
    path.write_text(f"{path.read_text()}\n{line}\n")
    ran = run(greetings, "permissions", "catalogue")
    before = f"{SOURCE}: greetings.api cannot be imported: {reason}"
    assert (1, before) == (ran.returncode, ran.stderr[: len(before)])
    assert 1 == len(ran.stderr.splitlines())
    assert "api.py, line " in ran.stderr


def test_migration_that_cannot_be_read_is_named(greetings: Path) -> None:
    """A revision with a mistake in it is no traceback."""
    path = greetings / MIGRATION
    path.write_text(path.read_text() + "\n1 / 0\n")
    ran = run(greetings, "migration-history")
    assert 1 == ran.returncode
    assert f"{path}, line " in ran.stderr
    assert 1 == len(ran.stderr.splitlines())
