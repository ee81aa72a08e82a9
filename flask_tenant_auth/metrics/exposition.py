"""The text that Prometheus reads: what prometheus_client writes of the counters of an app.

prometheus_client keeps no counter. Each scrape reads the memory that all workers share, so any of
them may answer it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from .._core import METRIC_BOUNDS, METRICS, Metrics
from ..errors import ConfigurationError

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

_GAUGES = ("gauge", "age", "processes")
_KEPT_ELSEWHERE = ("gauge", "total")


class About(NamedTuple):
    """What a metric of the catalogue is."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...]
    words: tuple[str, ...]  # the values of the last label, where it is no name


CATALOGUE = tuple(About(*each) for each in METRICS)


def require_client() -> None:
    """Raise where prometheus_client is not installed.

    :raises ConfigurationError: it names the extra.
    """
    try:
        import prometheus_client  # noqa: F401
    except ImportError:
        raise ConfigurationError(
            "AUTH_METRICS_ROUTE needs the package prometheus-client: install "
            "flask-tenant-auth[metrics], or remove the setting"
        ) from None


class Collector:
    """A collector of prometheus_client: reads the counters of an app.

    :param elsewhere: returns the values of metrics that are kept elsewhere, by their names.
    """

    def __init__(self, metrics: Metrics, elsewhere: Callable[[], Mapping[str, float]]) -> None:
        self._metrics = metrics
        self._elsewhere = elsewhere

    def collect(self) -> Iterator[Metric]:
        """Yield each metric of the catalogue that has a value."""
        values = self._metrics.read()
        elsewhere = self._elsewhere()
        for about in CATALOGUE:
            samples: Iterable[tuple[tuple[str, ...], Any]] = values[about.name]
            if about.kind in _KEPT_ELSEWHERE:
                samples = [((), elsewhere[about.name])] if about.name in elsewhere else []
            if samples:
                yield _family(about, samples)


def _family(about: About, samples: Iterable[tuple[tuple[str, ...], Any]]) -> Metric:
    from prometheus_client.metrics_core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
    )

    if about.kind == "histogram":
        histogram = HistogramMetricFamily(about.name, about.help, labels=about.labels)
        for labels, (buckets, seconds) in samples:
            bounds = [*map(str, METRIC_BOUNDS), "+Inf"]
            histogram.add_metric(labels, list(zip(bounds, buckets, strict=True)), seconds)
        return histogram
    made = GaugeMetricFamily if about.kind in _GAUGES else CounterMetricFamily
    family = made(about.name, about.help, labels=about.labels)
    for labels, value in samples:
        family.add_metric(labels, value)
    return family


def exposition(collector: Collector, accept: str) -> tuple[bytes, str]:
    """Return the text of all metrics, and its content type.

    :param accept: of the request: OpenMetrics where it asks for that, else the text format 0.0.4.
    """
    from prometheus_client.exposition import choose_encoder

    encoder, content_type = choose_encoder(accept)
    return encoder(collector), content_type
