"""What a working tree has, read anew for each plan."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import libcst as cst

from app.scaffold.errors import Refused
from app.scaffold.python import members_of, parse
from app.schemas.permissions import (
    PermissionMap,
    PermissionMapError,
    parse_document,
)

CONSTANTS: Final = "app/api/ws/constants.py"
HANDLERS: Final = "app/api/ws/handlers"
ROLE_MAP: Final = "actions.json"
SCHEMAS: Final = "app/schemas"
TESTS: Final = "tests/app"
ENUMERATION: Final = "PkgID"


@dataclass(frozen=True)
class Sources:
    """The files of a working tree.

    Args:
        root: The folder that holds `app`, `tests` and the role map.
    """

    root: Path

    @cached_property
    def constants(self) -> cst.Module:
        """The module that has `PkgID`."""
        return parse(CONSTANTS, self.require(CONSTANTS))

    @cached_property
    def numbers(self) -> Mapping[str, int]:
        """The number of each message, by its name."""
        return members_of(self.constants, ENUMERATION)

    @cached_property
    def role_map(self) -> PermissionMap:
        """Who may do what.

        Raises:
            Refused: The map is wrong.
        """
        data = self.require(ROLE_MAP).encode()
        try:
            return parse_document(data, ROLE_MAP)
        except PermissionMapError as error:
            raise Refused(error.findings[0]) from None

    @cached_property
    def nouns(self) -> set[str]:
        """What there are handlers of."""
        return {path.stem for path in (self.root / HANDLERS).glob("[a-z]*.py")}

    def read(self, path: str) -> str | None:
        """Return the text of a file with its ends of lines; None for none.

        Raises:
            Refused: It cannot be read.
        """
        try:
            return (self.root / path).read_bytes().decode()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Refused(f"{path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise Refused(f"{path}: is no UTF-8") from None

    def require(self, path: str) -> str:
        """Return the text of a file without which nothing can be made.

        Raises:
            Refused: It cannot be read, or is not there.
        """
        text = self.read(path)
        if text is None:
            raise Refused(f"{path}: is not there; this works on a clone")
        return text
