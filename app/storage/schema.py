"""Which revisions this version has, and which of them a database lacks.

alembic is configured here, in code. Revisions may come from several folders:
a team's own package brings its tables as a branch of its own (`app.apps`), so
everything speaks of heads in the plural.
"""

import os
import sys
import traceback
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from app.apps import explain, migrations
from app.settings import ConfigurationError

MIGRATIONS: Final = Path(__file__).parent / "migrations"
VERSIONS: Final = MIGRATIONS / "versions"


class Schema:
    """The revisions of some folders.

    Args:
        locations: The folders, our own first; None is ours and those of
            installed packages.
    """

    def __init__(self, locations: Sequence[Path] | None = None) -> None:
        locations = locations or (VERSIONS, *migrations())
        self._locations = os.pathsep.join(map(str, locations))

    def config(self, engine: AsyncEngine | None = None) -> Config:
        """Return alembic's configuration.

        Args:
            engine: What commands work on; None to only read or render.

        Raises:
            ConfigurationError: A revision cannot be read.
        """
        _ = self._revisions
        return self._config(engine)

    def _config(self, engine: AsyncEngine | None = None) -> Config:
        config = Config(stdout=sys.stdout)
        options = {
            "script_location": str(MIGRATIONS),
            "version_locations": self._locations,
            "path_separator": "os",
        }
        for name, value in options.items():
            config.set_main_option(name, value.replace("%", "%%"))
        config.attributes["connection"] = engine
        return config

    def find_missing(self, connection: Connection) -> str | None:
        """Say what the database lacks, None if nothing.

        A database that is ahead lacks nothing: while a rollout goes back,
        the older version finds revisions that it has never heard of.
        """
        context = MigrationContext.configure(connection)
        present = set(context.get_current_heads())
        lacking = [h for h in self._heads if self._is_behind(h, present)]
        if not lacking:
            return None
        return (
            f"The schema is at {names(present)}, this version needs "
            f"{names(self._heads)}: run python -m app migrate"
        )

    def head_of(self, folder: Path) -> str | None:
        """Return the newest revision of a folder, None if it is empty.

        Raises:
            CommandError: There are several.
        """
        own = self._of(folder)
        older = {r.down_revision for r in own}
        heads = [r.revision for r in own if r.revision not in older]
        if len(heads) > 1:
            raise CommandError(f"{folder} has several heads: {names(heads)}")
        return heads[0] if heads else None

    def step_back(self, folder: Path, present: set[str]) -> str | None:
        """Return how alembic is told to undo a folder's newest revision.

        None is where the database has none of it.

        Raises:
            CommandError: Its revisions are no branch with a name.
        """
        applied = self._up_to(present & self._known)
        own = self._of(folder)
        if present <= self._known and not applied & {r.revision for r in own}:
            return None
        labels = {label for r in own for label in r.branch_labels}
        if len(labels) != 1:
            raise CommandError(f"{folder} has the branches {names(labels)}")
        return f"{labels.pop()}@-1"

    def _of(self, folder: Path) -> list[Script]:
        return [r for r in self._revisions if Path(r.path).parent == folder]

    @cached_property
    def _script(self) -> ScriptDirectory:
        return ScriptDirectory.from_config(self._config())

    @cached_property
    def _heads(self) -> set[str]:
        return set(self._script.get_heads())

    @cached_property
    def _known(self) -> set[str]:
        return {revision.revision for revision in self._revisions}

    @cached_property
    def _revisions(self) -> list[Script]:
        try:
            return list(self._script.walk_revisions())
        except CommandError:
            raise
        except Exception as error:  # noqa: BLE001  (theirs may raise anything)
            frames = traceback.extract_tb(error.__traceback__)
            own = [f for f in frames if self._has(Path(f.filename))]
            message = f"A migration cannot be read: {explain(error, own)}"
            raise ConfigurationError(message) from None

    def _has(self, file: Path) -> bool:
        return str(file.parent) in self._locations.split(os.pathsep)

    def _is_behind(self, head: str, present: set[str]) -> bool:
        applied = self._up_to(present & self._known)
        if head in applied:
            return False
        unknown = present - self._known
        return not unknown or bool(self._up_to({head}) & present)

    def _up_to(self, revisions: set[str]) -> set[str]:
        if not revisions:
            return set()
        steps = self._script.iterate_revisions(tuple(revisions), "base")
        return {step.revision for step in steps}


def names(revisions: Iterable[str]) -> str:
    """Return revisions as a person reads them."""
    return ", ".join(sorted(revisions)) or "nothing"
