"""Who may do what: the map that service, operator and chart share.

A permission is one action of one protocol and is written as one line:
`ws CREATE_AUTHOR`, `http POST /authors`. A `PermissionMap` gives each
permission a rule: a role, any or all of several roles, or `*` for every
signed-in user. What has no rule is denied. Rules only ever add: an action is
permitted if its own rule or a rule for `*` permits it.

There are two ways to write the same map:

* as JSON (`actions.json`), by permission: `document.py`;
* as lines (a ConfigMap with a key for each role), by role: `lines.py`.

`model.py` is what both become, and `sealed.py` how it gets from the operator
to the pods. A `PermissionMap` is always in its canonical
form, so that two maps which say the same are equal and have one digest. All
that can be wrong with a map is a `PermissionMapError`, a line for each fault.

Only pydantic and the standard library are imported here, because the
operator has nothing else.
"""

from app.schemas.permissions.diff import MapDiff, diff
from app.schemas.permissions.document import (
    load_file,
    parse_document,
    parse_json,
    read_file,
)
from app.schemas.permissions.lines import from_lines, parse_role, to_lines
from app.schemas.permissions.model import (
    AllOf,
    AnyOf,
    Permission,
    PermissionMap,
    Rule,
    roles_of,
)
from app.schemas.permissions.names import ANY, SIGNED_IN, PermissionMapError
from app.schemas.permissions.sealed import (
    ACKNOWLEDGED,
    ACKNOWLEDGING,
    CHANGED,
    MAP_KEY,
    REVISION_KEY,
    Acknowledgement,
    SealedMap,
    seal,
    unseal,
)

__all__ = [
    "ACKNOWLEDGED",
    "ACKNOWLEDGING",
    "ANY",
    "CHANGED",
    "MAP_KEY",
    "REVISION_KEY",
    "SIGNED_IN",
    "Acknowledgement",
    "AllOf",
    "AnyOf",
    "MapDiff",
    "Permission",
    "PermissionMap",
    "PermissionMapError",
    "Rule",
    "SealedMap",
    "diff",
    "from_lines",
    "load_file",
    "parse_document",
    "parse_json",
    "parse_role",
    "read_file",
    "roles_of",
    "seal",
    "to_lines",
    "unseal",
]
