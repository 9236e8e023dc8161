"""What each package takes for itself, so that no two take the same.

A role map speaks of a message by its name and of a route by its template, and
a client of a message by its number: each of them must mean one thing,
whichever packages are installed.
"""

import re
from collections.abc import Iterable
from enum import IntEnum

from app.apps import OURS
from app.constants import FIRST_APP_PKG_ID, MAX_PKG_ID
from app.schemas.permissions.names import PACKAGE, fault
from app.settings import ConfigurationError

_PARAMETER = re.compile(r"{[^}]*}")


class Claims:
    """The numbers, names and routes that are taken so far."""

    def __init__(self) -> None:
        self._numbers: dict[int, str] = {}
        self._names: dict[str, str] = {}
        self._routes: dict[tuple[str, str], tuple[str, str]] = {}

    def take_number(self, pkg_id: IntEnum, package: str, module: str) -> None:
        """Take a message's number and its name.

        Raises:
            ConfigurationError: It is none for this package, or taken.
        """
        claim = f"{pkg_id.name} = {int(pkg_id)} ({module})"
        _check_number(pkg_id, package, claim)
        if not re.fullmatch(PACKAGE, pkg_id.name):
            raise ConfigurationError(f"{claim}: {fault(pkg_id.name, PACKAGE)}")
        taken = self._numbers.setdefault(int(pkg_id), claim)
        if taken is not claim:
            raise ConfigurationError(f"{claim}: the number is that of {taken}")
        taken = self._names.setdefault(pkg_id.name, claim)
        if taken is not claim:
            raise ConfigurationError(f"{claim}: the name is that of {taken}")

    def take_route(
        self,
        template: str,
        methods: Iterable[str],
        package: str,
        module: str,
    ) -> None:
        """Take the methods of a path, whatever its parameters are called.

        Raises:
            ConfigurationError: Another package has one of them.
        """
        path = _PARAMETER.sub("{}", template)
        for method in sorted(methods):
            claim = f"{method} {template} ({module})"
            taken = self._routes.setdefault((method, path), (package, claim))
            if taken[0] != package:
                raise ConfigurationError(f"{claim}: there is {taken[1]}")


def _check_number(pkg_id: IntEnum, package: str, claim: str) -> None:
    ours = range(FIRST_APP_PKG_ID)
    allowed = ours if package == OURS else range(ours.stop, MAX_PKG_ID + 1)
    if int(pkg_id) not in allowed:  # an IntEnum would be looked for one by one
        raise ConfigurationError(
            f"{claim}: numbers of {package} are from {allowed[0]}"
            f" to {allowed[-1]}"
        )
