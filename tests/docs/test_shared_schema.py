"""The role map's schema can be had without the service."""

import subprocess
import sys

from tests.docs.repository import ROOT

PROBE = """
import sys
before = set(sys.modules)
import app.schemas.permissions
loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
foreign = loaded - sys.stdlib_module_names
# The standard library's own, under a name that has the platform in it.
print(*sorted(n for n in foreign if not n.startswith("_sysconfigdata")))
"""
PYDANTIC = {
    "annotated_types",
    "pydantic",
    "pydantic_core",
    "typing_extensions",
    "typing_inspection",
}


def test_permissions_need_pydantic_only() -> None:
    """Importing the role map's schema loads pydantic and nothing else."""
    result = subprocess.run(
        (sys.executable, "-c", PROBE),
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert set(result.stdout.split()) - PYDANTIC == {"app"}
