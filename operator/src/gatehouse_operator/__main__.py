"""`python -m gatehouse_operator`: what Kubernetes needs to be told."""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import yaml

from gatehouse_operator import api_server
from gatehouse_operator.admission import admission_manifests
from gatehouse_operator.crds import KINDS, definition
from gatehouse_operator.logging import configure_logging
from gatehouse_operator.manifests import (
    DELETION_COST_RULES,
    Manifest,
    keycloak_manifests,
    keycloak_rules,
    role_map_manifests,
    role_map_rules,
)
from gatehouse_operator.release_secrets import ReleaseSecrets, make_secrets

Given = argparse.Namespace


def _admission(given: Given) -> Iterable[Manifest]:
    lines = json.loads(given.permissions.read_text("utf-8"))
    return admission_manifests(given.namespace, given.release, lines)


def _crds(_: Given) -> Iterable[Manifest]:
    return map(definition, KINDS)


def _keycloak(given: Given) -> Iterable[Manifest]:
    return keycloak_manifests(given.namespace, given.release, given.image)


def _role_maps(given: Given) -> Iterable[Manifest]:
    return role_map_manifests(given.namespace, given.release, given.image)


_PARTS: Final[dict[str, Callable[[Given], Iterable[Manifest]]]] = {
    "admission": _admission,
    "crds": _crds,
    "keycloak": _keycloak,
    "rbac": _role_maps,
}
_RULES: Final[dict[str, Callable[[str], list[Manifest]]]] = {
    "deletion-cost": lambda _release: list(DELETION_COST_RULES),
    "keycloak": keycloak_rules,
    "rbac": role_map_rules,
}


class _Dumper(yaml.SafeDumper):
    """Writes everything out: a reader of manifests expects no aliases."""

    def ignore_aliases(self, _data: object) -> bool:
        """Say that nothing is written as a reference."""
        return True


def main() -> None:
    """Print what is needed as YAML, or make Secrets."""
    parser = argparse.ArgumentParser(prog="gatehouse_operator")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    manifests = verbs.add_parser(
        "manifests", help="print what Kubernetes needs to run an operator"
    )
    manifests.add_argument("part", choices=sorted(_PARTS))
    manifests.add_argument("--namespace", default="gatehouse")
    manifests.add_argument("--release", default="gatehouse")
    manifests.add_argument("--image", default="gatehouse-operator:latest")
    manifests.add_argument(
        "--permissions",
        type=Path,
        default=Path("operator/permissions.json"),
        help="what `python -m app permissions catalogue` prints",
    )
    manifests.set_defaults(do=_print_manifests)
    rules = verbs.add_parser("rules", help="print what an account may do")
    rules.add_argument("part", choices=sorted(_RULES))
    rules.add_argument("--release", default="gatehouse")
    rules.set_defaults(do=_print_rules)
    secrets = verbs.add_parser(
        "make-secrets", help="make the Secrets of a release in the cluster"
    )
    secrets.add_argument("file", type=Path, help="what the chart asks for")
    secrets.set_defaults(do=_make_secrets)
    given = parser.parse_args()
    try:
        given.do(given)
        sys.stdout.flush()
    except BrokenPipeError:
        _read_no_more()


def _read_no_more() -> None:
    """End without a word: the reader of what is printed has enough."""
    # What is still buffered is written at the exit, to nowhere.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(1)


def _print_manifests(given: Given) -> None:
    found = _PARTS[given.part](given)
    yaml.dump_all(found, sys.stdout, _Dumper, sort_keys=False)


def _make_secrets(given: Given) -> None:
    wanted = ReleaseSecrets.model_validate_json(given.file.read_text("utf-8"))
    configure_logging()
    asyncio.run(_make(wanted, os.environ["NAMESPACE"]))


async def _make(wanted: ReleaseSecrets, namespace: str) -> None:
    client = api_server.client(namespace, "gatehouse-secrets")
    try:
        await make_secrets(client, wanted)
    finally:
        await client.aclose()


def _print_rules(given: Given) -> None:
    found = _RULES[given.part](given.release)
    yaml.dump(found, sys.stdout, _Dumper, sort_keys=False)


if __name__ == "__main__":
    main()
