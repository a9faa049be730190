"""Which columns a reference describes."""

from collections.abc import Mapping

from tidegauge.schemas.monitors import FeatureSpec
from tidegauge.schemas.references import Reference
from tidegauge.streams.monitor.intake.columns import MAX_WATCHED, SCORE, Columns, is_readable
from tidegauge.streams.monitor.series.registry import parse
from tidegauge.streams.monitor.series.view import Categories


def watched_columns(reference: Reference, declared: Mapping[str, FeatureSpec]) -> Columns:
    """Return the columns that a reference describes, 200 at most and none that the spec ignores.

    A number without a value in the reference has no profile, and is not watched: taken for a
    category, it would have every row rejected that brings one.
    """
    ignored = {name for name, spec in declared.items() if spec.type == "ignore"} | {SCORE}
    numbers = {n for n, spec in declared.items() if spec.type in ("numeric", "boolean")}
    named = map(parse, reference.series)
    told = dict.fromkeys(column for series, column in named if Categories in series.reads)
    texts = [name for name in told if name not in numbers | reference.numeric.keys()]
    numeric, categorical = (
        [name for name in names if name not in ignored and is_readable(name)]
        for names in (reference.numeric, texts)
    )
    rest = MAX_WATCHED - min(len(numeric), MAX_WATCHED)
    return Columns(tuple(numeric[:MAX_WATCHED]), tuple(categorical[:rest]))
