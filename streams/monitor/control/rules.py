"""What is wrong with the rules of a spec that no schema can say."""

import re
from collections.abc import Iterator
from math import prod

import pyarrow as pa
import pyarrow.compute as pc

from tidegauge.schemas.monitors import FeatureSpec, MonitorSpec, feature_of
from tidegauge.streams.monitor.intake.dictionary import MAX_CATEGORY
from tidegauge.streams.monitor.series.expression import Expression, Kind
from tidegauge.streams.monitor.series.limited import matches

CATEGORICAL = FeatureSpec(type="categorical")
IGNORED = FeatureSpec(type="ignore")
COUNTS = re.compile(r"(\)?)\{(\d+)(?:,(\d*))?\}")  # of repetitions, of a group or of something
MOST_OF_GROUPS = 30  # their counts multiplied: a value then costs some 10 ms at most


def faults(spec: MonitorSpec) -> Iterator[tuple[str, str]]:
    """Yield what is wrong, each as its path in the spec, and what was expected and came there."""
    for name, own in spec.features.items():
        if own.pattern is not None and (fault := _pattern_fault(own.pattern)):
            yield f"$.features.{name}.pattern", fault
    yield from _check_faults(spec)
    sliced = [feature_of(own) for own in spec.slices]
    for at, name in enumerate(sliced):
        if name in sliced[:at]:
            yield f"$.slices[{at}]", f"expected each feature once, got {name!r} again"
    for name, gate in spec.effect.by.items():
        declared = spec.types.get(name)
        if declared == CATEGORICAL and gate.absolute is not None:
            yield f"$.effect.by.{name}", "expected share or sd, as the feature is categorical"


def _pattern_fault(pattern: str) -> str:
    # RE2's time is also in proportion to the pattern with all repetitions written out.
    found = [
        (group, max(int(least), int(most or 0))) for group, least, most in COUNTS.findall(pattern)
    ]
    if any(count > MAX_CATEGORY for _, count in found):
        return f"expected repetitions up to {MAX_CATEGORY}, as no value is longer; got {pattern!r}"
    if prod(count for group, count in found if group) > MOST_OF_GROUPS:
        return f"expected groups repeated {MOST_OF_GROUPS} times at most in all; got {pattern!r}"
    try:
        pc.match_substring_regex(pa.array([""]), pattern=pattern)
        matches(pattern, [""])  # as it is used: some are well-formed alone
    except pa.ArrowInvalid as fault:
        told = str(fault).removeprefix("Invalid regular expression: ")
        return f"expected a pattern of RE2, got {pattern!r}: {told}"
    return ""


def _check_faults(spec: MonitorSpec) -> Iterator[tuple[str, str]]:
    kinds: dict[str, Kind] = {
        name: "text" if own.type == "categorical" else "number" for name, own in spec.types.items()
    }
    for at, text in enumerate(spec.checks):
        path = f"$.checks[{at}]"
        if text in spec.checks[:at]:
            yield path, f"expected each check once, got {text!r} again"
        try:
            check = Expression(text)
        except ValueError as error:
            yield path, str(error)
            continue
        ignored = [name for name in check.names if spec.types.get(name) == IGNORED]
        if ignored:
            yield path, f"expected columns that are watched, got {ignored[0]!r}, which is ignored"
        elif fault := check.fault(kinds):
            yield path, f"{fault}, as the features are declared"
