"""The embedded PostgreSQL."""

import shutil
import signal
from pathlib import Path
from typing import ClassVar

import asyncpg
import psutil

from app.dev import processes
from app.dev.config import LOOPBACK
from app.dev.passwords import password, write_private
from app.dev.postgres_home import (
    PostgresHome,
    find_home,
    give_to,
    make_reachable,
)
from app.dev.server import EmbeddedServer

USER = "gatehouse"


class Postgres(EmbeddedServer):
    """PostgreSQL with one superuser and a database, over TCP only."""

    name: ClassVar[str] = "PostgreSQL"
    port_variable: ClassVar[str] = "DEV_DB_PORT"
    url_variable: ClassVar[str] = "DATABASE_URL"
    # Fast shutdown: open connections are cut, nothing has to be recovered.
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT

    database = "gatehouse"
    _home: PostgresHome

    @property
    def password(self) -> str:
        """The password of the superuser."""
        return password(self.folder, "db_password")

    @property
    def settings(self) -> dict[str, str]:
        """The service's settings for this server."""
        return {
            "DB_HOST": LOOPBACK,
            "DB_PORT": str(self.port),
            "DB_USER": USER,
            "DB_PASSWORD": self.password,
            "DB_NAME": self.database,
        }

    @property
    def mark(self) -> str:
        """The data directory."""
        return str(self._data)

    async def prepare(self) -> None:
        """Make the data directory at the first start."""
        self._home = find_home()
        make_reachable(self._folder, self._home.account)
        if not self._data.exists():
            self.progress.say(self.name, "making its data directory")
            await self._initdb()

    def launch(self) -> psutil.Popen:
        """Start the process."""
        return processes.spawn(
            [
                self._home.binaries / "postgres",
                *("-D", self.mark),
                *("-c", f"port={self.port}"),
                *("-c", f"listen_addresses={LOOPBACK}"),
                *("-c", "unix_socket_directories="),
                *("-c", "max_connections=200"),
            ],
            log=self.log,
            account=self._home.account,
        )

    async def is_ready(self) -> bool:
        """Say whether its database can be used; make that if it is new."""
        try:
            connection = await self.connect("postgres")
        except (OSError, asyncpg.PostgresError):
            return False
        try:
            known = "SELECT true FROM pg_database WHERE datname = $1"
            if not await connection.fetchval(known, self.database):
                await connection.execute(f'CREATE DATABASE "{self.database}"')
        finally:
            await connection.close()
        return True

    async def connect(self, database: str) -> "asyncpg.Connection":
        """Open a connection to one of the server's databases."""
        return await asyncpg.connect(
            host=LOOPBACK,
            port=self.port,
            user=USER,
            password=self.password,
            database=database,
            ssl=False,
        )

    async def _initdb(self) -> None:
        unfinished = self._data.with_name("unfinished")
        secret = self._data.with_name("password")
        shutil.rmtree(unfinished, ignore_errors=True)
        write_private(secret, self.password)
        give_to(secret, self._home.account)
        await processes.run(
            [
                self._home.binaries / "initdb",
                *("-D", unfinished),
                *("--username", USER),
                *("--auth", "scram-sha-256"),
                *("--pwfile", secret),
                *("--encoding", "UTF8"),
                "--no-locale",
                "--no-sync",
            ],
            log=self.log,
            account=self._home.account,
        )
        secret.unlink()
        unfinished.rename(self._data)

    @property
    def _folder(self) -> Path:
        return self.folder / "postgres"

    @property
    def _data(self) -> Path:
        return self._folder.resolve() / "data"
