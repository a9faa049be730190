"""Which columns a reference describes."""

from collections.abc import Mapping

from tidegauge.schemas.monitors import FeatureSpec
from tidegauge.schemas.references import Reference
from tidegauge.streams.monitor.intake.awaited import Kind
from tidegauge.streams.monitor.intake.columns import MAX_WATCHED, SCORE, Columns, eligible
from tidegauge.streams.monitor.series.registry import SERIES, parse


def watched_columns(reference: Reference, declared: Mapping[str, FeatureSpec]) -> Columns:
    """Return the columns that a reference describes, 200 at most and none that the spec ignores.

    A feature of which it has no value is none of them, nor is one that is declared to be of another
    type: what the reference says cannot be compared with it.
    """
    kinds: dict[str, Kind] = {}
    for name in eligible([*reference.numeric, *_features(reference)], declared):
        kind: Kind = "numeric" if name in reference.numeric else "categorical"
        if _has_values(reference, name) and _agree(kind, declared.get(name)):
            kinds[name] = kind
    kinds = dict(list(kinds.items())[:MAX_WATCHED])
    if SCORE in reference.categorical:
        kinds[SCORE] = "categorical"
    return Columns((), ()).plus(kinds, declared)


def other_features(reference: Reference, declared: Mapping[str, FeatureSpec]) -> list[str]:
    """Return features that are to be watched when they come, whatever the reference says of them.

    They are those that are declared, and those of which the reference has no value; some of them
    may be among the watched columns.
    """
    empty = [name for name in _features(reference) if not _has_values(reference, name)]
    return [*declared, *empty]


def same_columns(
    reference: Reference, one: Mapping[str, FeatureSpec], other: Mapping[str, FeatureSpec]
) -> bool:
    """Return whether what a reference describes is of the same types by either declaration."""

    def kind(name: str, declared: Mapping[str, FeatureSpec]) -> str | None:
        if name in declared:
            said = declared[name].type
            return "numeric" if said == "boolean" else said
        return "numeric" if name in reference.numeric else "categorical"

    described = {*reference.numeric, *reference.categorical}
    ignored = {name for name, own in [*one.items(), *other.items()] if own.type == "ignore"}
    names = ({*one} | {*other}) & (described | ignored)
    return all(kind(name, one) == kind(name, other) for name in names)


def _features(reference: Reference) -> list[str]:
    """Return the features that the rows of a reference had."""
    return [found[1] for found in map(parse, reference.series) if found and found[1]]


def _has_values(reference: Reference, name: str) -> bool:
    missing = reference.series.get(SERIES["missing"].name(name))
    return name in reference.numeric or missing is None or any(v != 1 for v in missing.values)


def _agree(kind: Kind, declared: FeatureSpec | None) -> bool:
    return declared is None or (declared.type == "categorical") == (kind == "categorical")
