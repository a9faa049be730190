"""What is wrong with a spec that no schema can say."""

from collections.abc import Iterator

from tidegauge.schemas.monitors import MonitorSpec
from tidegauge.streams.monitor.control import detectors, rules


def faults(spec: MonitorSpec) -> Iterator[tuple[str, str]]:
    """Yield what is wrong, each as its path in the spec, and what was expected and came there."""
    yield from rules.faults(spec)
    yield from detectors.faults(spec)
