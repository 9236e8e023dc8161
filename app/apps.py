"""Packages of other teams, which are found because they are installed.

Such a package adds routers, messages, tables and migrations by an entry
point, without a line of ours that knows it:

    [project.entry-points."gatehouse.apps"]
    greetings = "greetings"

This module alone reads entry points. Everything that speaks of what there is
to ask for (`packages`) or of the schema (`migrations`) asks it, so that the
service, the verbs and the probes never speak of different things. What is
wrong with such a package stops the start with a line that names it.
"""

import importlib
import pkgutil
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Final

from app.settings import ConfigurationError

GROUP: Final = "gatehouse.apps"
OURS: Final = "app.api"
"""Where our own routers are looked for, before those of others."""
_VERSIONS: Final = ("migrations", "versions")


@dataclass(frozen=True, slots=True)
class App:
    """A package of another team.

    Args:
        name: What its entry point is called.
        package: The package that the entry point names.
        source: Both, and the distribution, for whoever reads an error.
        folder: Where its modules are; None if it is none but a module.
    """

    name: str
    package: str
    source: str
    folder: Path | None

    @property
    def versions(self) -> Path | None:
        """Where its migrations are, or would be; None if it is no folder."""
        return self.folder and self.folder.joinpath(*_VERSIONS)


@cache
def installed() -> tuple[App, ...]:
    """Return the packages of other teams, in the order of their names.

    Raises:
        ConfigurationError: An entry point names no package, or one of ours,
            or has the name of another.
    """
    apps: dict[str, App] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name):
        app = _app_of(entry)
        taken = apps.setdefault(app.name, app)
        if taken is not app:
            raise ConfigurationError(
                f"{app.source}: {taken.source} has this name"
            )
    return tuple(apps.values())


def packages() -> tuple[str, ...]:
    """Return where routers are looked for: ours, then those of others."""
    return (OURS, *dict.fromkeys(app.package for app in installed()))


def folders() -> tuple[Path, ...]:
    """Return where the code is that is served, ours and that of others."""
    theirs = [app.folder for app in installed() if app.folder]
    return (Path(__file__).parent, *theirs)


def migrations() -> tuple[Path, ...]:
    """Return the folders of other teams' migrations that there are."""
    found = [app.versions for app in installed()]
    return tuple(folder for folder in found if folder and folder.is_dir())


def modules(package: str) -> Iterator[tuple[str, ModuleType]]:
    """Import a package and every module below it.

    Raises:
        ConfigurationError: A module of another team's cannot be imported.
    """
    module = _import(package, package)
    yield package, module
    paths = getattr(module, "__path__", ())
    for info in pkgutil.walk_packages(paths, f"{package}."):
        yield info.name, _import(info.name, package)


def import_models() -> None:
    """Import all of the other teams' modules, so that tables are known."""
    for app in installed():
        for _ in modules(app.package):
            pass


def _app_of(entry: EntryPoint) -> App:
    found = entry.dist
    dist = f" ({found.name} {found.version})" if found else ""
    source = f"{GROUP}: {entry.name} = {entry.value}{dist}"
    if not all(part.isidentifier() for part in entry.value.split(".")):
        raise ConfigurationError(f"{source}: {entry.value!r} is no package")
    if entry.value.split(".")[0] == __package__:
        raise ConfigurationError(f"{source}: {entry.value!r} is not theirs")
    return App(entry.name, entry.value, source, _folder(entry, source))


def _folder(entry: EntryPoint, source: str) -> Path | None:
    try:
        spec = find_spec(entry.value)
    except Exception as error:  # noqa: BLE001  (it imports what is above)
        raise _not_imported(source, entry.value, error) from None
    if spec is None:
        raise ConfigurationError(
            f"{source}: there is no package {entry.value!r}"
        )
    places = list(spec.submodule_search_locations or ())
    return Path(places[0]) if places else None


def _import(name: str, package: str) -> ModuleType:
    if package.split(".", maxsplit=1)[0] == __package__:
        return importlib.import_module(name)
    try:
        return importlib.import_module(name)
    except Exception as error:  # noqa: BLE001  (their code may raise anything)
        raise _not_imported(_source(package), name, error) from None


def _source(package: str) -> str:
    sources = (a.source for a in installed() if a.package == package)
    return next(sources, package)


def _not_imported(
    source: str, name: str, error: Exception
) -> ConfigurationError:
    """Say why, and in which line the import ended."""
    root = name.split(".", maxsplit=1)[0]
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [
        f for f in frames if root in Path(f.filename).with_suffix("").parts
    ]
    return ConfigurationError(
        f"{source}: {name} cannot be imported: {explain(error, theirs)}"
    )


def explain(error: Exception, frames: Sequence[traceback.FrameSummary]) -> str:
    """Say in a line what was raised, and in the last of which lines."""
    what = f"{type(error).__name__}: {error}".split("\n")[0]
    if not frames:
        return what
    return f"{what} ({frames[-1].filename}, line {frames[-1].lineno})"
