"""What is wrong with the detectors of a spec that no schema can say."""

import inspect
from collections.abc import Iterator, Mapping

from tidegauge.detectors.base import Bank
from tidegauge.detectors.registry import DETECTORS
from tidegauge.schemas.monitors import DetectorSpec, FeatureSpec, MonitorSpec
from tidegauge.streams.monitor.intake.columns import SCORE, eligible
from tidegauge.streams.monitor.series.registry import SERIES, parse
from tidegauge.streams.monitor.series.view import (
    Categories,
    Groups,
    Numbers,
    Related,
    Slices,
    View,
)

LARGEST = 1_000_000  # of a detector's parameters: counts must fit
MAX_STATE = 64 * 1_048_576  # bytes that the detectors of one spec may take, all series together
OF_SLICES: frozenset[type[View]] = frozenset((Groups, Slices))  # whose columns have other names


def faults(spec: MonitorSpec) -> Iterator[tuple[str, str]]:
    """Yield what is wrong, each as its path in the spec, and what was expected and came there.

    >>> chosen = DetectorSpec(kind="adwin", series=["loss", "range(score)"])
    >>> for path, fault in faults(MonitorSpec(model="fraud", detectors=[chosen])):
    ...     print(path, fault.partition(",")[0])
    $.detectors[0].series[1] expected one of rank(score)
    """
    taken = 0
    for place, chosen in enumerate(spec.detectors):
        path = f"$.detectors[{place}]"
        for at, name in enumerate(chosen.series):
            if fault := _series_fault(name, spec.types):
                yield f"{path}.series[{at}]", fault
        bank = _made(chosen)
        if not isinstance(bank, Bank):
            yield f"{path}.parameters{bank[0]}", bank[1]
            continue
        if chosen.on == "rows" and spec.windows is not None and spec.windows.lateness_ms:
            yield f"{path}.on", "expected windows, as rows of several are open; got rows"
        yield from ((f"{path}.on", fault) for fault in _input_faults(bank, chosen))
        taken += bank.nbytes * len(chosen.series)
        if taken > MAX_STATE:
            rule = f"expected detectors of {MAX_STATE} bytes at most, got {taken}"
            yield f"{path}.parameters", rule


def _series_fault(name: str, declared: Mapping[str, FeatureSpec]) -> str:
    """Return what is wrong with the name of a series; empty if a model with these may have it."""
    _, column = parse(name) or (None, "")
    expected = possible(column, declared)
    if name in expected:
        return ""
    own = declared.get(column)
    why = f", as {column} is declared {own.type}" if own is not None else ""
    return f"expected one of {', '.join(expected)}{why}; got {name!r}"


def possible(column: str, declared: Mapping[str, FeatureSpec]) -> list[str]:
    """Return the series that a spec may name of a column; of any, called ``x``, without one.

    >>> possible("score", {})[0]
    'rank(score)'
    """
    views = _views(column, declared) - (set() if column else OF_SLICES)
    return [
        series.name((column or "x") if series.has_column else "")
        for series in SERIES.values()
        if series.has_spec and (not series.has_column or views & {*series.reads})
        if column != SCORE or series.of_score
    ]


def _views(column: str, declared: Mapping[str, FeatureSpec]) -> set[type[View]]:
    """Return the views that may have a column."""
    if column == SCORE:
        return {Numbers, Related}
    if column and not eligible([column], declared):
        return set()
    if column in declared:
        return {Categories} if declared[column].type == "categorical" else {Numbers, Related}
    return {view for series in SERIES.values() for view in series.reads}


def _made(spec: DetectorSpec) -> Bank | tuple[str, str]:
    """Return a detector for one series, or where its parameters are wrong, and why."""
    detector = DETECTORS[spec.kind]
    known = [name for name in inspect.signature(detector).parameters if name != "width"]
    for name, value in spec.parameters.items():
        if name not in known:
            return f".{name}", f"expected one of {', '.join(known)}; got {name!r}"
        if not isinstance(value, str) and abs(value) > LARGEST:
            return f".{name}", f"expected at most {LARGEST:,}, got {value}"
    try:
        return detector(1, **spec.parameters)
    except ValueError as error:
        return "", str(error)
    except TypeError:  # text where it compares numbers
        return "", f"expected numbers where {spec.kind} wants them, got {spec.parameters}"


def _input_faults(bank: Bank, spec: DetectorSpec) -> Iterator[str]:
    """Yield which series would give a detector what it does not take."""
    for name in spec.series:
        series, _ = parse(name) or (None, "")
        if series is not None:
            sees = "figures" if spec.on == "windows" else series.rowwise
            if sees not in bank.takes:
                takes = " or ".join(sorted(bank.takes))
                yield f"expected {takes}, which {spec.kind} takes; got {sees} of {name!r}"
