"""What is in force for a model version: each setting with its origin, each series with its part."""

from collections.abc import Iterator
from typing import Any

import msgspec

from tidegauge.schemas.monitors import MonitorSpec
from tidegauge.streams.monitor.control.control import SHARES
from tidegauge.streams.monitor.partition import Partition
from tidegauge.streams.monitor.verdict.cohort import SeriesPart
from tidegauge.streams.monitor.verdict.input_monitor import InputMonitor
from tidegauge.streams.monitor.verdict.outcome_monitor import OutcomeMonitor
from tidegauge.streams.monitor.verdict.slice_cohort import SliceCohort
from tidegauge.streams.monitor.verdict.weekly import LEAST_WEEKS, advised

Watching = InputMonitor | OutcomeMonitor


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """A value that is in force, and where it is from.

    A spec that says what holds without one is no different: both are ``default``.
    """

    value: Any
    origin: str


class Effective(msgspec.Struct, frozen=True, kw_only=True):
    """How one stream of a model version is watched in one partition."""

    model: str
    version: str
    source: str
    partition: int
    settings: dict[str, Setting]
    series: dict[str, SeriesPart]


def effective(partition: Partition) -> list[Effective]:
    """Return how each stream of each model version in a partition is watched, outcomes last."""
    partition.settle()
    found = [
        Effective(
            model=monitor.origin.model,
            version=monitor.origin.version,
            source=monitor.origin.source,
            partition=partition.number,
            settings=_settings(monitor),
            series=monitor.parts(),
        )
        for monitor in _monitors(partition)
    ]
    return sorted(found, key=lambda one: (one.model, one.version, one.source == "outcomes"))


def _monitors(partition: Partition) -> Iterator[Watching]:
    for rows in partition.rows.values():
        yield from rows.monitors.values()
    yield from partition.outcomes.monitors.values()


def _settings(monitor: Watching) -> dict[str, Setting]:
    """Return the settings of a monitor, those first that are not as its spec has them."""
    spec, usual = monitor.control.spec, MonitorSpec(model=monitor.spec.model)
    found = {"windows": _windows(monitor), "reference": _reference(monitor)}
    if isinstance(monitor, OutcomeMonitor):
        found["task"] = _task(monitor)
    for name in MonitorSpec.__struct_fields__:
        value = getattr(spec, name)
        if name not in ("model", "windows", "reference", "task"):
            origin = "default" if value == getattr(usual, name) else "spec"
            found[name] = Setting(value=value, origin=origin)
    found["baseline"] = _baseline(monitor, found["baseline"])
    if isinstance(monitor, InputMonitor) and monitor.slices is not None:
        found["slices"] = _slices(monitor.slices)
    part = SHARES[monitor.origin.source]
    found["budget"] = Setting(
        value=monitor.budget, origin=f"{part:g} of false_alarms.count, for {monitor.origin.source}"
    )
    return found


def _windows(monitor: Watching) -> Setting:
    reference = monitor.control.reference
    if monitor.windows is None:
        return Setting(value=None, origin="not known yet: it follows from the first rows")
    if reference is not None and not monitor.control.learned:
        return Setting(value=monitor.windows, origin="published reference")
    origin = "the first rows" if monitor.control.spec.windows is None else "spec"
    return Setting(value=monitor.windows, origin=origin)


def _reference(monitor: Watching) -> Setting:
    if monitor.is_learning:
        origin = f"being learned: {monitor.gathered} of {monitor.needed} windows"
        return Setting(value=monitor.gathered, origin=origin)
    reference = monitor.control.reference
    is_published = reference is not None and not monitor.control.learned
    if isinstance(monitor, OutcomeMonitor):
        is_published = is_published and not monitor.outcomes.learned
    origin = "published" if is_published else "learned from the first windows"
    return Setting(value=monitor.reference_windows, origin=origin)


def _baseline(monitor: Watching, said: Setting) -> Setting:
    """Return whether the week is the baseline, and where it should be."""
    parts = monitor.parts()
    if any(part.by_week for part in parts.values()):
        origin = said.origin if said.value else "published reference"
        return Setting(value="week", origin=origin)
    if said.value and not monitor.is_learning:
        why = f"not used: the reference has fewer than {LEAST_WEEKS} weeks, or was built without"
        return Setting(value=said.value, origin=f"{said.origin}; {why}")
    if advice := advised({name: part.explained for name, part in parts.items()}):
        return Setting(value=said.value, origin=f"{said.origin}; {advice}")
    return said


def _slices(slices: SliceCohort) -> Setting:
    if slices.slicing is None:
        return Setting(value=[], origin="spec; not known yet: they follow from the reference")
    names, left_out = slices.slicing.names, slices.slicing.left_out
    origin = (
        "spec"
        if slices.watch is not None
        else (f"spec; being learned: {slices.gathered} of {slices.spec.reference.windows} windows")
    )
    return Setting(value=names, origin="; left out: ".join([origin, *left_out]))


def _task(monitor: OutcomeMonitor) -> Setting:
    seems, reference = monitor.outcomes.seems, monitor.control.reference
    if monitor.control.spec.task:
        return Setting(value=seems, origin="spec")
    if reference is not None and reference.outcomes:
        return Setting(value=seems, origin="published reference")
    return Setting(value=seems, origin="the pairs so far" if monitor.is_learning else "the pairs")
