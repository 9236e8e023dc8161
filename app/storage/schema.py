"""Which revisions this version has, and which of them a database lacks.

alembic is configured here, in code. Revisions may come from several folders:
a team's own package brings its tables as a branch of its own, so everything
speaks of heads in the plural.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

MIGRATIONS: Final = Path(__file__).parent / "migrations"
VERSIONS: Final = MIGRATIONS / "versions"


class Schema:
    """The revisions of some folders.

    Args:
        locations: The folders, our own first.
    """

    def __init__(self, locations: Sequence[Path] = (VERSIONS,)) -> None:
        self._locations = os.pathsep.join(map(str, locations))

    def config(self, engine: AsyncEngine | None = None) -> Config:
        """Return alembic's configuration.

        Args:
            engine: What commands work on; None to only read or render.
        """
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

    @cached_property
    def _script(self) -> ScriptDirectory:
        return ScriptDirectory.from_config(self.config())

    @cached_property
    def _heads(self) -> set[str]:
        return set(self._script.get_heads())

    @cached_property
    def _known(self) -> set[str]:
        return {r.revision for r in self._script.walk_revisions()}

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
