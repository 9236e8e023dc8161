"""The chart, rendered by Helm's own code in this process."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from helm_python import Chart

from tests.docs.repository import ROOT

CHART: Final = ROOT / "charts" / "gatehouse"
PROFILES: Final = {
    path.name.removesuffix("-values.yaml"): path
    for path in sorted((CHART / "ci").glob("*-values.yaml"))
}

# A quarter of a rendering is spent on looking for Go's garbage.
os.environ.setdefault("GOGC", "400")

Manifest = dict[str, Any]
Values = dict[str, Any]


class Renderer:
    """Renders the chart.

    Args:
        chart: The chart.
    """

    def __init__(self, chart: Chart) -> None:
        self._chart = chart
        self._read: dict[str, list[Manifest]] = {}

    def texts(self, values: Values, **options: Any) -> dict[str, str]:
        """Every file that is rendered, but the notes apart from them.

        Raises:
            HelmError: The values do not go together.
        """
        found: dict[str, str] = self._chart.render(
            values, name="gatehouse", namespace="space", **options
        )
        return found

    def manifests(self, values: Values, **options: Any) -> list[Manifest]:
        """Every object that is rendered."""
        return [
            manifest
            for path, text in self.texts(values, **options).items()
            if path.endswith(".yaml")
            for manifest in self._parsed(text)
        ]

    def check(self, values: Values) -> None:
        """Hold values against the schema alone."""
        self._chart.validate_schema(values)

    def _parsed(self, text: str) -> list[Manifest]:
        """The objects of a file; most files are the same again and again."""
        if text not in self._read:
            found = yaml.load_all(text, yaml.CSafeLoader)
            self._read[text] = [one for one in found if one]
        return self._read[text]


@pytest.fixture(scope="session")
def renderer() -> Iterator[Renderer]:
    """The chart of this repository."""
    with Chart.load(CHART) as chart:
        yield Renderer(chart)


def profile(name: str) -> Values:
    """The values of a profile."""
    found: Values = yaml.safe_load(PROFILES[name].read_text("utf-8"))
    return found


def pods_of(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Every pod that is made, with the name of what makes it."""
    for manifest in manifests:
        spec = manifest.get("spec", {})
        if manifest["kind"] == "Pod":
            yield manifest["metadata"]["name"], spec
        elif manifest["kind"] in {"Deployment", "StatefulSet", "Job"}:
            yield manifest["metadata"]["name"], spec["template"]["spec"]


def containers_of(pod: Manifest) -> list[Manifest]:
    """Every container of a pod."""
    return [*pod.get("initContainers", ()), *pod["containers"]]


def words(path: Path) -> dict[str, Any]:
    """The content of a JSON file."""
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found
