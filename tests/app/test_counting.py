"""Our counters and histograms say what Prometheus' own would say."""

from collections.abc import Iterable

import prometheus_client
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from app.utils.counting import Counter, Histogram

BUCKETS = (0.1, 0.5, 1.0)
VALUES = st.one_of(
    st.sampled_from(BUCKETS), st.floats(0, 2, allow_subnormal=False)
)


def observed(
    kind: type[prometheus_client.Histogram], values: Iterable[float]
) -> list[tuple[str, float]]:
    """What a histogram with a label says of some values, looked at twice."""
    registry = CollectorRegistry()
    histogram = kind("h", "h", ["x"], buckets=BUCKETS, registry=registry)
    for number, value in enumerate(values):
        histogram.labels("a").observe(value)
        if number == 0:
            generate_latest(registry)
    return [
        (f"{sample.name}{sample.labels}", round(sample.value, 6))
        for family in registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    ]


@given(st.lists(VALUES, max_size=600))
def test_a_histogram_says_what_prometheus_would(values: list[float]) -> None:
    """Buckets, count and sum are the same, with the edges."""
    expected = observed(prometheus_client.Histogram, values)
    assert expected == observed(Histogram, values)


def test_a_counter_counts_what_it_is_given() -> None:
    """Each look has all that was counted, and no count is taken twice."""
    registry = CollectorRegistry()
    counter = Counter("c", "c", ["x"], registry=registry)
    seen = []
    for amount in (1, 2.5, 0):
        counter.labels("a").inc(amount)
        seen.append(registry.get_sample_value("c_total", {"x": "a"}))
    assert seen == [1, 3.5, 3.5]


def test_a_counter_does_not_go_down() -> None:
    """A negative amount is refused, as Prometheus' own does."""
    counter = Counter("c", "c", registry=CollectorRegistry())
    with pytest.raises(ValueError, match="non-negative"):
        counter.inc(-1)
