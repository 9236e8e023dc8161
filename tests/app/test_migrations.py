"""Migrations: what they make, how they are undone, and who may be ahead."""

import asyncio
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from pytest_alembic.tests import (
    test_model_definitions_match_ddl,  # noqa: F401  (collected by pytest)
    test_single_head_revision,  # noqa: F401  (same)
    test_up_down_consistency,  # noqa: F401  (same)
    test_upgrade,  # noqa: F401  (same)
)
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from typer.testing import CliRunner

from app.cli.database import cli
from app.settings import DatabaseSettings
from app.storage.db import Database
from app.storage.engine import create_migration_engine
from app.storage.migrate import upgrade
from app.storage.schema import VERSIONS, Schema
from app.storage.seed import names, titles

PREVIOUS = "a41e6b0d97c8"
HEAD = "c58f2e7b1a04"

Verb = Callable[..., str]


@pytest.fixture
def alembic_config() -> Config:
    """What pytest-alembic's own tests run."""
    return Schema().config()


@pytest.fixture
def alembic_engine(empty_database: DatabaseSettings) -> AsyncEngine:
    """Where pytest-alembic's own tests run it."""
    return create_migration_engine(empty_database)


@pytest.fixture
def verb(
    empty_database: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> Verb:
    """A function that runs a verb with nothing set but the database."""
    url = empty_database.database_url
    assert url is not None
    for name in ("KEYCLOAK_BASE_URL", "REDIS_URL", "SECRETS_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATABASE_URL", url.get_secret_value())

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
        return str(result.exit_code) + ": " + result.output.strip()

    return run


async def find_missing(engine: AsyncEngine, schema: Schema) -> str | None:
    """Ask what a database lacks."""
    async with engine.connect() as connection:
        return await connection.run_sync(schema.find_missing)


async def set_revision(engine: AsyncEngine, revision: str) -> None:
    """Make a database say that it is at a revision."""
    async with engine.begin() as connection:
        await connection.execute(
            text("UPDATE alembic_version SET version_num = :revision"),
            {"revision": revision},
        )


def test_every_revision_can_be_undone_and_says_what_it_is_for() -> None:
    """A revision has a docstring and a downgrade."""
    revisions = list(
        ScriptDirectory.from_config(Schema().config()).walk_revisions()
    )
    assert all(len(r.doc) > 10 for r in revisions)
    assert all(callable(r.module.downgrade) for r in revisions)


async def test_processes_that_migrate_at_once_do_it_once(
    empty_database: DatabaseSettings,
) -> None:
    """One migrates, the other waits, finds nothing to do and succeeds."""
    assert empty_database.database_url is not None
    url = empty_database.database_url.get_secret_value()
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "app", "migrate"),
            env={**os.environ, "DATABASE_URL": url},
            stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(2)
    ]
    said = [(await process.communicate())[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert all(f"The schema is at {HEAD} ".encode() in line for line in said)


async def test_database_behind_lacks_something(
    empty_database: DatabaseSettings,
) -> None:
    """An empty schema is behind, a migrated one is not."""
    engine = create_migration_engine(empty_database)
    before = await find_missing(engine, Schema())
    await upgrade(engine)
    assert await find_missing(engine, Schema()) is None
    assert before == (
        f"The schema is at nothing, this version needs {HEAD}:"
        " run python -m app migrate"
    )


async def test_database_ahead_lacks_nothing(
    empty_database: DatabaseSettings,
) -> None:
    """An older version starts on a newer schema, as roll-backs need."""
    engine = create_migration_engine(empty_database)
    await upgrade(engine)
    await set_revision(engine, "ffffffffffff")
    assert await find_missing(engine, Schema()) is None


async def test_other_packages_bring_their_own_branch(
    empty_database: DatabaseSettings, tmp_path: Path
) -> None:
    """Revisions come from several folders, and each branch is looked at."""
    (tmp_path / "team.py").write_text(
        '"""A team\'s own table."""\n'
        "from alembic import op\n"
        "import sqlalchemy as sa\n"
        'revision = "team0001"\n'
        "down_revision = None\n"
        'branch_labels = ("team",)\n'
        f'depends_on = "{HEAD}"\n'
        "def upgrade():\n"
        '    op.create_table("team", sa.Column("id", sa.BigInteger))\n'
        "def downgrade():\n"
        '    op.drop_table("team")\n'
    )
    both = Schema((VERSIONS, tmp_path))
    engine = create_migration_engine(empty_database)
    await upgrade(engine)
    lacking = await find_missing(engine, both)
    await asyncio.to_thread(command.upgrade, both.config(engine), "heads")
    assert lacking is not None
    assert "team0001" in lacking
    assert await find_missing(engine, both) is None
    assert await find_missing(engine, Schema()) is None


def test_migrations_can_be_read_as_sql() -> None:
    """Without a database the statements are printed, for a review."""
    config = Schema().config()
    config.output_buffer = sql = io.StringIO()
    command.upgrade(config, "heads", sql=True)
    expected = (
        "CONSTRAINT fk_book_author_id_author FOREIGN KEY(author_id)"
        " REFERENCES author (id) ON DELETE RESTRICT"
    )
    assert expected in sql.getvalue()


def test_verbs_tell_where_the_schema_is(verb: Verb) -> None:
    """Each verb says in one line what it has found or done."""
    at_head = f"0: The schema is at {HEAD}"
    assert [
        ("migration-current", "0: The schema is at nothing"),
        ("migrate", f"{at_head} and was at nothing"),
        ("migrate --wait", f"{at_head} already"),
        ("wait-for-schema", f"{at_head}, which is this version's"),
        ("seed", "0: Stored 50 authors and 200 books"),
        ("seed", "0: There are authors already: nothing was stored"),
        ("rollback", f"0: The schema is at {PREVIOUS} and was at {HEAD}"),
        ("migration-stamp heads", at_head),
        ("migration-current", at_head),
    ] == [
        (line, verb(*line.split()))
        for line in (
            "migration-current",
            "migrate",
            "migrate --wait",
            "wait-for-schema",
            "seed",
            "seed",
            "rollback",
            "migration-stamp heads",
            "migration-current",
        )
    ]


def test_verbs_on_an_empty_database_say_what_is_missing(verb: Verb) -> None:
    """There is nothing to undo, and nowhere to store anything."""
    nothing = "The schema is at nothing"
    assert verb("rollback") == f"0: {nothing}: there is nothing to undo"
    assert verb("seed") == (
        f"1: {nothing}, this version needs {HEAD}: run python -m app migrate"
    )


def test_history_is_shown_without_a_database(verb: Verb) -> None:
    """The history names each revision and what it is for."""
    assert "authors with unique names" in verb("migration-history").lower()


def test_migrations_can_be_tried(verb: Verb) -> None:
    """The verb applies, undoes and applies all of them elsewhere."""
    expected = "All migrations went up, down and up; the models agree"
    assert expected == verb("test-migrations").splitlines()[-1]


def test_verb_that_fails_says_why_in_a_line(
    verb: Verb, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    """A revision nobody knows or a server that is away is no traceback."""
    unknown = verb("migration-stamp", "nowhere")
    monkeypatch.setenv(
        "DATABASE_URL", f"postgresql://a:b@127.0.0.1:{unused_tcp_port}/c"
    )
    away = verb("migrate")
    monkeypatch.setenv("DATABASE_URL", "postgresql://a:b@db..svc/c")
    misspelt = verb("migrate")
    assert "Can't locate revision identified by 'nowhere'" in unknown
    assert "DATABASE_URL: The database cannot be reached: " in away
    assert "DATABASE_URL: The database cannot be reached: " in misspelt
    assert ["1", "1", "1"] == [unknown[0], away[0], misspelt[0]]
    assert not any("\n" in said for said in (unknown, away, misspelt))


def test_seed_is_something_to_look_at() -> None:
    """The names differ, and no author has written one title twice."""
    assert len(set(names())) == 50
    every = titles(200)
    assert all(len(set(every[i : i + 4])) == 4 for i in range(0, 200, 4))


async def test_every_migrated_database_is_ready(database: Database) -> None:
    """On a schema that is there, nothing is waited for."""
    await database.wait_and_init_db()
    assert database.ready
