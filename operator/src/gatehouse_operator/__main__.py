"""`python -m gatehouse_operator manifests`: what Kubernetes needs."""

import argparse
import sys

import yaml

from gatehouse_operator.manifests import role_map_manifests


def main() -> None:
    """Print the manifests as YAML."""
    parser = argparse.ArgumentParser(prog="gatehouse_operator")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    manifests = verbs.add_parser(
        "manifests", help="print what Kubernetes needs to run the operator"
    )
    manifests.add_argument("--namespace", default="gatehouse")
    manifests.add_argument("--release", default="gatehouse")
    manifests.add_argument("--image", default="gatehouse-operator:latest")
    given = parser.parse_args()
    found = role_map_manifests(given.namespace, given.release, given.image)
    yaml.safe_dump_all(found, sys.stdout, sort_keys=False)


if __name__ == "__main__":
    main()
