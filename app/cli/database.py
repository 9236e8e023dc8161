"""The schema and its data at the shell; only `DATABASE_URL` is needed."""

import asyncio
import sys
from collections.abc import Callable
from functools import wraps
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, ParamSpec

import typer
from alembic import command
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.apps import installed
from app.exceptions import AppError, Unavailable
from app.settings import load_database_settings
from app.storage.db import Database
from app.storage.engine import create_migration_engine
from app.storage.errors import facts
from app.storage.migrate import (
    current,
    heads,
    try_out,
    upgrade,
    wait_for_server,
)
from app.storage.schema import VERSIONS, Schema, names
from app.storage.seed import seed as store_seed

cli = typer.Typer()

P = ParamSpec("P")

_FORMAT = (
    ("hooks", "format"),
    ("format.type", "module"),
    ("format.module", "ruff"),
    ("format.options", "format REVISION_SCRIPT_FILENAME"),
)
"""What alembic does with a revision it has written, where ruff is."""

Wait = Annotated[bool, typer.Option(help="Wait until the server answers.")]
Message = Annotated[str, typer.Argument(help="What changes, in a line.")]
AppName = Annotated[
    str | None,
    typer.Option("--app", help="The installed package that it is for."),
]
Revision = Annotated[str, typer.Argument(help='A revision, or "heads".')]


def _explained(verb: Callable[P, None]) -> Callable[P, None]:
    """End a verb that the database refuses with one line."""

    @wraps(verb)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            with facts():
                verb(*args, **kwargs)
        except Unavailable as error:
            sys.exit(f"{_setting()}: {error.detail}: {error.__cause__}")
        except AppError as error:
            sys.exit(f"{error.detail}: {error.__cause__}")
        except (CommandError, DBAPIError) as error:
            sys.exit(f"{error}")

    return run


def _setting() -> str:
    """Name what says where the database is."""
    url = load_database_settings().database_url
    return "DB_HOST" if url is None else "DATABASE_URL"


@cli.command()
@_explained
def migrate(*, wait: Wait = False) -> None:
    """Apply every migration that is not applied yet."""
    asyncio.run(_migrate(wait=wait))


@cli.command()
@_explained
def wait_for_schema() -> None:
    """Return when the database has every migration of this version."""
    asyncio.run(_wait_for_schema())
    found = asyncio.run(current(_engine()))
    typer.echo(f"The schema is at {found}, which is this version's")


@cli.command()
@_explained
def rollback(*, app: AppName = None) -> None:
    """Undo the newest migration, of ours or of an installed package."""
    engine = _engine()
    schema, present = Schema(), asyncio.run(heads(engine))
    before, step = names(present), schema.step_back(_folder(app), present)
    if step is None:
        typer.echo(f"The schema is at {before}: there is nothing to undo")
        return
    command.downgrade(schema.config(engine), step)
    after = asyncio.run(current(engine))
    typer.echo(f"The schema is at {after} and was at {before}")


@cli.command()
@_explained
def migration(message: Message, *, app: AppName = None) -> None:
    """Write a migration from what the models have and the schema has not."""
    folder = _folder(app)
    folder.mkdir(parents=True, exist_ok=True)
    schema = Schema()
    head = schema.head_of(folder)
    config = schema.config(_engine())
    for name, value in _FORMAT if find_spec("ruff") else ():
        config.set_section_option("post_write_hooks", name, value)
    command.revision(
        config,
        message,
        autogenerate=True,
        head=head or "base",
        branch_label=None if head else app,
        version_path=str(folder),
    )


@cli.command()
@_explained
def migration_history() -> None:
    """List the migrations, newest first."""
    command.history(Schema().config())


@cli.command()
@_explained
def migration_current() -> None:
    """Show which migration the database is at."""
    typer.echo(f"The schema is at {asyncio.run(current(_engine()))}")


@cli.command()
@_explained
def migration_stamp(revision: Revision) -> None:
    """Record that the database is at a migration, without running it."""
    engine = _engine()
    command.stamp(Schema().config(engine), revision)
    typer.echo(f"The schema is at {asyncio.run(current(engine))}")


@cli.command()
@_explained
def test_migrations() -> None:
    """Apply, undo and apply all migrations on a database made for that."""
    asyncio.run(try_out(load_database_settings()))
    typer.echo("All migrations went up, down and up; the models agree")


@cli.command()
@_explained
def seed() -> None:
    """Store 50 authors and 200 books, unless there are authors already."""
    authors, books = asyncio.run(_seed())
    if authors:
        typer.echo(f"Stored {authors} authors and {books} books")
    else:
        typer.echo("There are authors already: nothing was stored")


def _folder(app: str | None) -> Path:
    """Return where the migrations of ours or of a package are.

    Raises:
        CommandError: It is not installed, or is no folder.
    """
    if app is None:
        return VERSIONS
    found = {a.name: a.versions for a in installed()}
    folder = found.get(app)
    if folder is None:
        known = ", ".join(found) or "nothing is"
        raise CommandError(f"--app: {app!r} is not installed, {known}")
    return folder


def _engine() -> AsyncEngine:
    return create_migration_engine(load_database_settings())


async def _migrate(*, wait: bool) -> None:
    engine = _engine()
    if wait:
        await wait_for_server(engine)
    before = await current(engine)
    await upgrade(engine)
    after = await current(engine)
    was = "already" if before == after else f"and was at {before}"
    typer.echo(f"The schema is at {after} {was}")


async def _wait_for_schema() -> None:
    database = Database(load_database_settings())
    try:
        await database.wait_and_init_db()
    finally:
        await database.close()


async def _seed() -> tuple[int, int]:
    async with _engine().connect() as connection:
        missing = await connection.run_sync(Schema().find_missing)
    if missing is not None:
        raise CommandError(missing)
    database = Database(load_database_settings())
    try:
        async with database.unit_of_work() as session:
            return await store_seed(session)
    finally:
        await database.close()
