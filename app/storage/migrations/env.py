"""How alembic runs our migrations; it loads this file for every command.

One process migrates at a time, guarded by an advisory lock of the session:
when several pods or people start at once, the others wait, find nothing to
do and are done. They ask for the lock instead of waiting inside a statement,
because a statement that waits would block `CREATE INDEX CONCURRENTLY`.
"""

import asyncio
from typing import Final, Literal

from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlmodel import AutoString

from app.apps import import_models
from app.models import BaseModel

LOCK: Final = 4_281_907_553
"""Any number, the same in every version."""
LOCK_RETRY_SECONDS: Final = 0.2


def render_item(kind: str, item: object, _: object) -> str | Literal[False]:
    """Write SQLModel's texts as SQLAlchemy's, which migrations import."""
    if kind == "type" and isinstance(item, AutoString):
        return f"sa.String({item.length or ''})"
    return False


def render() -> None:
    """Print the statements instead of running them."""
    context.configure(
        dialect_name="postgresql",
        target_metadata=BaseModel.metadata,
        literal_binds=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def run(engine: AsyncEngine) -> None:
    """Run the command on a database, alone."""
    async with engine.connect() as connection:
        await acquire_lock(connection)
        await connection.run_sync(migrate)
        await connection.commit()


async def acquire_lock(connection: AsyncConnection) -> None:
    """Return when this connection, until it closes, is the one to migrate."""
    statement = text("SELECT pg_try_advisory_lock(:lock)")
    while not await connection.scalar(statement, {"lock": LOCK}):
        await connection.commit()
        await asyncio.sleep(LOCK_RETRY_SECONDS)
    await connection.commit()


def migrate(connection: Connection) -> None:
    """Run the command; each revision is a transaction of its own."""
    context.configure(
        connection=connection,
        target_metadata=BaseModel.metadata,
        transaction_per_migration=True,
        render_item=render_item,
    )
    with context.begin_transaction():
        context.run_migrations()


import_models()
if context.is_offline_mode():
    render()
else:
    asyncio.run(run(context.config.attributes["connection"]))
