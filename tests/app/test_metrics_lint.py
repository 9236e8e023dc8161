"""The metrics of a service are as Prometheus wants them.

Prometheus' own checker says so where there is one (`make promtool`); a lint
of ours, which knows the same mistakes, always does.
"""

import re
import subprocess
from collections import Counter
from collections.abc import Iterator

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.fixtures.promtool import promtool

NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
RESERVED = re.compile(r".*_(total|count|sum|bucket)")
NO_BASE_UNIT = re.compile(
    r".*_(s|sec|secs|ms|millis|milliseconds?|us|microseconds|ns|nanoseconds"
    r"|minutes?|hours?|days?|kb|mb|kilobytes|megabytes|bits|percent)(_total)?"
)

GOOD = """\
# HELP made_seconds How long it took.
# TYPE made_seconds histogram
made_seconds_bucket{le="0.5"} 1.0
made_seconds_bucket{le="+Inf"} 2.0
made_seconds_count 2.0
made_seconds_sum 3.5
# HELP made_total How many.
# TYPE made_total counter
made_total{kind="a"} 1.0
"""
BAD = {
    "no help": GOOD.replace("# HELP made_total How many.\n", ""),
    "no type": GOOD.replace("# TYPE made_total counter\n", ""),
    "HELP twice": GOOD + GOOD[GOOD.index("# HELP made_total") :],
    "series twice": GOOD + 'made_total{kind="a"} 1.0\n',
    "counter without _total": GOOD.replace("made_total", "made"),
    "name of another kind": GOOD.replace(" counter", " gauge"),
    "no base unit": GOOD.replace("made_seconds", "made_milliseconds"),
    "not in lower case": GOOD.replace("made_total", "madeUp_total"),
    "theKind not in lower case": GOOD.replace("kind=", "theKind="),
    "buckets do not end in the count": GOOD.replace(
        'made_seconds_bucket{le="+Inf"} 2.0\n', ""
    ),
}


def complaints(text: str) -> list[str]:
    """Return what is wrong with an exposition."""
    families = list(text_string_to_metric_families(text))
    found = [wrong for family in families for wrong in _wrong_with(family)]
    for word in ("HELP", "TYPE"):
        told = re.findall(rf"^# {word} (\S+)", text, re.MULTILINE)
        found += [f"{n}: {word} twice" for n in _repeated(told)]
    found += [
        f"{name}: counter without _total"
        for name in re.findall(r"^# TYPE (\S+) counter", text, re.MULTILINE)
        if not name.endswith("_total")
    ]
    lines = [line for line in text.splitlines() if line[0] != "#"]
    series = [line.rpartition(" ")[0] for line in lines]
    return found + [f"{name}: series twice" for name in _repeated(series)]


def _repeated(names: list[str]) -> list[str]:
    return [name for name, times in Counter(names).items() if times > 1]


def _wrong_with(family: Metric) -> Iterator[str]:
    name = family.name
    if not family.documentation:
        yield f"{name}: no help"
    if family.type == "unknown":
        yield f"{name}: no type"
    if not NAME.fullmatch(name):
        yield f"{name}: not in lower case"
    if NO_BASE_UNIT.fullmatch(name):
        yield f"{name}: no base unit"
    labels = {label for sample in family.samples for label in sample.labels}
    for label in labels:
        if not NAME.fullmatch(label):
            yield f"{name}: {label} not in lower case"
    if RESERVED.fullmatch(name):
        yield f"{name}: name of another kind"
    if family.type == "histogram":
        yield from _wrong_with_buckets(family)


def _wrong_with_buckets(family: Metric) -> Iterator[str]:
    counts: dict[tuple[str, ...], float] = {}
    ends: dict[tuple[str, ...], float] = {}
    for sample in family.samples:
        labels = {k: v for k, v in sample.labels.items() if k != "le"}
        key = tuple(labels.values())
        if sample.name.endswith("_count"):
            counts[key] = sample.value
        elif sample.labels.get("le") == "+Inf":
            ends[key] = sample.value
    if counts != ends:
        yield f"{family.name}: buckets do not end in the count"


def promtool_complaints(program: str, text: str) -> str:
    """Return what promtool says of an exposition; nothing if it is good."""
    checked = subprocess.run(
        [program, "check", "metrics"],
        input=text,
        capture_output=True,
        check=False,
        text=True,
        timeout=30,
    )
    said = checked.stdout + checked.stderr
    assert bool(checked.returncode) == bool(said)
    return said


def test_the_metrics_of_a_service(metrics_text: str) -> None:
    """There is nothing to complain of, and there is plenty to look at."""
    assert [] == complaints(metrics_text)
    kinds = Counter(
        f.type for f in text_string_to_metric_families(metrics_text)
    )
    assert kinds["counter"] > 15
    assert kinds["histogram"] > 5
    assert kinds["gauge"] > 8


def test_the_metrics_of_a_service_by_promtool(
    metrics_text: str, request: pytest.FixtureRequest
) -> None:
    """Prometheus' own checker, where there is one; else that is said."""
    program = promtool()
    if program is None:
        reporter = request.config.get_terminal_writer()
        reporter.line("promtool: not run, see `make promtool`")
        return
    assert "" == promtool_complaints(program, metrics_text)


def test_a_good_text() -> None:
    """What follows the rules is let through."""
    assert [] == complaints(GOOD)


@pytest.mark.parametrize("mistake", BAD)
def test_a_mistake_is_found(mistake: str) -> None:
    """Each mistake that a metric can have is told."""
    found = complaints(BAD[mistake])
    assert mistake in {wrong.partition(": ")[2] for wrong in found}
