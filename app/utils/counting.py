"""Prometheus' own metrics, added up when somebody looks.

Counting takes a lock each time in Prometheus' own client, and an observation
looks for its bucket in a loop: 1 to 2 us, several times a request. Here it is
noted, and added up for many at a time. What is noted is in every scrape.

They are used in the event loop's thread only.
"""

from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Iterable
from functools import partial
from typing import Final

import prometheus_client
from prometheus_client.samples import Sample

_MOST: Final = 256
"""Observations that are noted before they are added up."""


class Counter(prometheus_client.Counter):
    """A counter whose increments cost an addition."""

    def _metric_init(self) -> None:
        super()._metric_init()
        self._noted = 0.0

    def inc(
        self, amount: float = 1, exemplar: dict[str, str] | None = None
    ) -> None:
        """Count so many more.

        Raises:
            AttributeError: It has labels, and these are not given.
        """
        if amount < 0 or exemplar:
            super().inc(amount, exemplar)
        else:
            self._noted += amount

    def _child_samples(self) -> Iterable[Sample]:
        noted, self._noted = self._noted, 0.0
        super().inc(noted)
        return super()._child_samples()


class Gauge(prometheus_client.Gauge):
    """A gauge that is moved for the price of an addition."""

    def _metric_init(self) -> None:
        super()._metric_init()
        self._noted = 0.0

    def inc(self, amount: float = 1) -> None:
        """Raise the value.

        Raises:
            AttributeError: It has labels, and these are not given.
        """
        self._noted += amount

    def dec(self, amount: float = 1) -> None:
        """Lower the value.

        Raises:
            AttributeError: It has labels, and these are not given.
        """
        self._noted -= amount

    def set(self, value: float) -> None:
        """Set the value, whatever it was."""
        super().set(value)
        self._noted = 0.0

    def _child_samples(self) -> Iterable[Sample]:
        noted, self._noted = self._noted, 0.0
        super().inc(noted)
        return super()._child_samples()


class Histogram(prometheus_client.Histogram):
    """A histogram whose observations cost an entry in a list."""

    def _metric_init(self) -> None:
        super()._metric_init()
        self._noted: list[float] = []

    def observe(
        self, amount: float, exemplar: dict[str, str] | None = None
    ) -> None:
        """Observe a value.

        Raises:
            AttributeError: It has labels, and these are not given.
        """
        if exemplar:
            super().observe(amount, exemplar)
            return
        self._noted.append(amount)
        if len(self._noted) >= _MOST:
            self._add_up()

    def _child_samples(self) -> Iterable[Sample]:
        self._add_up()
        return super()._child_samples()

    def _add_up(self) -> None:
        noted, self._noted = self._noted, []
        self._sum.inc(sum(noted))
        place = partial(bisect_left, self._upper_bounds)
        for bucket, count in Tally(map(place, noted)).items():
            self._buckets[bucket].inc(count)
