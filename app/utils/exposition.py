"""Metrics as Prometheus' text, made in steps that hold nobody up.

With 300 routes that is 14,000 lines and 100 ms of work. In one piece it would
stall the event loop; in a thread it would take the interpreter from the loop
for 5 ms at a time, and the samples of a whole scrape, alive together, would
bring on a search for garbage through every socket. So it is made here, a few
samples at a time, and everybody else has his turn in between.
"""

import asyncio
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from prometheus_client import REGISTRY, generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

STEP: Final = 100
"""Samples made at a time: less than a millisecond."""


async def exposition() -> bytes:
    """Return every metric of this process in Prometheus' text format."""
    text: list[bytes] = []
    for collector in list(REGISTRY._collector_to_names):  # noqa: SLF001
        for part in _parts(collector):
            text.append(part)
            await asyncio.sleep(0)
    return b"".join(text)


def _parts(collector: Collector) -> Iterator[bytes]:
    if not isinstance(collector, MetricWrapperBase):
        yield generate_latest(collector)
        return
    samples = iter(collector._samples())  # noqa: SLF001  (one at a time)
    yield _render(collector, islice(samples, STEP))
    while step := list(islice(samples, STEP)):
        header_and_lines = _render(collector, step).split(b"\n", 2)
        yield header_and_lines[2]


def _render(metric: MetricWrapperBase, samples: Iterable[Sample]) -> bytes:
    family = next(iter(metric.describe()))
    for sample in samples:
        family.add_sample(
            family.name + sample.name, sample.labels, sample.value
        )
    return generate_latest(_Family(family))


class _Family(Collector):
    """One metric with some of its samples."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterable[Metric]:
        """Give the metric."""
        return [self._family]
