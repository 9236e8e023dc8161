"""`python -m gatehouse_operator manifests`: what Kubernetes needs."""

import argparse
import sys
from collections.abc import Callable, Iterable
from typing import Any, Final

import yaml

from gatehouse_operator.crds import KINDS, definition
from gatehouse_operator.manifests import (
    keycloak_manifests,
    role_map_manifests,
)

_PARTS: Final[dict[str, Callable[..., Iterable[dict[str, Any]]]]] = {
    "crds": lambda *_: map(definition, KINDS),
    "keycloak": keycloak_manifests,
    "rbac": role_map_manifests,
}


class _Dumper(yaml.SafeDumper):
    """Writes everything out: a reader of manifests expects no aliases."""

    def ignore_aliases(self, _data: object) -> bool:
        """Say that nothing is written as a reference."""
        return True


def main() -> None:
    """Print the manifests as YAML."""
    parser = argparse.ArgumentParser(prog="gatehouse_operator")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    manifests = verbs.add_parser(
        "manifests", help="print what Kubernetes needs to run an operator"
    )
    manifests.add_argument("part", choices=sorted(_PARTS))
    manifests.add_argument("--namespace", default="gatehouse")
    manifests.add_argument("--release", default="gatehouse")
    manifests.add_argument("--image", default="gatehouse-operator:latest")
    given = parser.parse_args()
    found = _PARTS[given.part](given.namespace, given.release, given.image)
    yaml.dump_all(found, sys.stdout, _Dumper, sort_keys=False)


if __name__ == "__main__":
    main()
