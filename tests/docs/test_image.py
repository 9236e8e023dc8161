"""The image has the extra `service`, and none of the groups."""

import json
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.docs.repository import ROOT

PROBE = """
import json, runpy, sys
sys.modules.update(dict.fromkeys(json.loads(sys.argv[1])))
sys.argv = ["app", "--help"]
runpy.run_module("app", run_name="__main__")
"""


def development_modules() -> list[str]:
    """The modules that only development needs, absent from the image."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    service = (ROOT / "requirements" / "service.txt").read_text("utf-8")
    groups = project["dependency-groups"]
    wanted = {
        canonicalize_name(Requirement(item).name)
        for item in (*groups["servers"], *groups["generators"])
    }
    absent = {name for name in wanted if f"\n{name}==" not in service}
    return [
        module
        for module, names in packages_distributions().items()
        if absent & {canonicalize_name(name) for name in names}
    ]


def test_verbs_run_without_the_development_groups() -> None:
    """In the image `python -m app` offers to serve and to migrate."""
    modules = development_modules()
    assert {"psutil", "libcst"} <= set(modules)
    result = subprocess.run(
        (sys.executable, "-c", PROBE, json.dumps(modules)),
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    verbs = {
        line.split()[1] for line in result.stdout.splitlines() if "│" in line
    }
    assert {"serve", "migrate"} <= verbs
    assert {"dev", "bench", "new-ws-handlers"} & verbs == set()
