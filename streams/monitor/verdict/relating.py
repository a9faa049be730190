"""Which numbers of a reference follow from others, and how far its own rows lie from that."""

from collections.abc import Mapping, Sequence

import numpy as np

from tidegauge.detectors.statistics.relations import Relation, Relations, fit
from tidegauge.schemas.references import NumericProfile, RelationProfile, SeriesProfile
from tidegauge.streams.monitor.intake.block import Floats
from tidegauge.streams.monitor.intake.columns import SCORE
from tidegauge.streams.monitor.series.base import series_profile
from tidegauge.streams.monitor.series.registry import SERIES
from tidegauge.streams.monitor.series.summary import Summary
from tidegauge.streams.monitor.series.view import (
    FLAG,
    Following,
    Profiles,
    Related,
    View,
    Vocabulary,
)

MOST_VALUES = 20  # of a category that numbers may follow from
LEAST_SHARE = 0.01  # of the rows, of such a value

Flag = tuple[str, str]  # a category and one of its values


def relate(
    numeric: Mapping[str, NumericProfile],
    names: Sequence[str],
    categorical: Sequence[str],
    places: Sequence[Mapping[str, int]],
    samples: Sequence[bytes],
) -> tuple[dict[str, RelationProfile], dict[str, SeriesProfile]]:
    """Return the relations of numbers, and the profiles of the series that read them.

    Parameters
    ----------
    numeric
        What the reference says of them.
    names, categorical
        Of numbers and categories, in the order in which rows have them.
    places
        Of the values of each category, in the rows.
    samples
        Some rows of each of its windows, as bytes: numbers, then places.
    """
    width = len(names) + len(categorical)
    rows = [len(sample) // (8 * width) if width else 0 for sample in samples]
    table = np.frombuffer(b"".join(samples)).reshape(sum(rows), width)
    ranks = Profiles([numeric.get(name) for name in names]).ranks(table[:, : len(names)])
    flags, flagged = _flags(table[:, len(names) :], categorical, places)
    may_follow = np.arange(len(names) + len(flags)) < len(names)
    may_predict = np.array([name != SCORE for name in [*names, *flags]], np.bool_)
    windows = Summary(View((), len(table)), np.ones(len(table)), np.cumsum([0, *rows]))
    relations, series = dict[str, RelationProfile](), dict[str, SeriesProfile]()
    groups = np.repeat(np.arange(len(rows)), rows)
    for own, squares in fit(np.hstack([ranks, flagged]), groups, may_follow, may_predict):
        name = names[own.target]
        pairs = [*zip(own.predictors, own.weights, strict=True)]
        relations[name] = RelationProfile(
            numbers={names[at]: weight for at, weight in pairs if at < len(names)},
            categories=[
                (*flags[at - len(names)], FLAG * weight) for at, weight in pairs if at >= len(names)
            ],
            intercept=own.intercept,
        )
        series |= {
            one.name(name): series_profile(one, *windows.moments(squares))
            for one in SERIES.values()
            if Related in one.reads
        }
    return relations, series


def _flags(
    table: Floats, categorical: Sequence[str], places: Sequence[Mapping[str, int]]
) -> tuple[list[Flag], Floats]:
    """Return the frequent values of categories, and in which rows each of them is."""
    flags, columns = list[Flag](), [np.empty((len(table), 0))]
    for at, name in enumerate(categorical):
        values, column = [*places[at]], table[:, at]
        known = column[~np.isnan(column)].astype(np.int64)
        counts = np.bincount(known, minlength=len(values))
        frequent = np.argsort(-counts, kind="stable")[:MOST_VALUES]
        frequent = frequent[counts[frequent] >= max(LEAST_SHARE * len(table), 1)]
        flags += [(name, values[place]) for place in frequent.tolist()]
        columns.append(FLAG * (column[:, None] == frequent))
    return flags, np.hstack(columns)


def following(
    found: Mapping[str, RelationProfile], names: Sequence[str], categorical: Sequence[str]
) -> Following:
    """Return which numbers follow from others, where all of these are among the names, and how."""
    own = {
        name: relation
        for name, relation in found.items()
        if {name, *relation.numbers} <= {*names}
        and {category for category, *_ in relation.categories} <= {*categorical}
    }
    flags: dict[Flag, int] = {}
    for relation in own.values():
        for category, value, _ in relation.categories:
            flags.setdefault((category, value), len(names) + len(flags))
    laid = [
        Relation(
            names.index(name),
            [*map(names.index, r.numbers), *(flags[c, value] for c, value, _ in r.categories)],
            [*r.numbers.values(), *(adds / FLAG for *_, adds in r.categories)],
            r.intercept,
        )
        for name, r in own.items()
    ]
    values = [(categorical.index(category), Vocabulary([value])) for category, value in flags]
    return Following(list(own), values, Relations(laid))
