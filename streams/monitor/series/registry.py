"""Every series there is: names in specs, documents, kinds and sentences come from here."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tidegauge.streams.monitor.series.base import Series
from tidegauge.streams.monitor.series.context import Label, Score
from tidegauge.streams.monitor.series.duplicate import Duplicate
from tidegauge.streams.monitor.series.error import Error
from tidegauge.streams.monitor.series.loss import Loss
from tidegauge.streams.monitor.series.missing import Missing
from tidegauge.streams.monitor.series.range import Range
from tidegauge.streams.monitor.series.rank import Rank
from tidegauge.streams.monitor.series.rejected import Rejected
from tidegauge.streams.monitor.series.unpaired import Unpaired
from tidegauge.streams.monitor.series.unseen import Unseen

SERIES: Final[Mapping[str, Series]] = MappingProxyType(
    {
        series.statistic: series
        for series in (
            Rank(),
            Range(),
            Missing(),
            Unseen(),
            Loss(),
            Error(),
            Label(),
            Score(),
            Rejected(),
            Unpaired(),
            Duplicate(),
        )
    }
)


def parse(name: str) -> tuple[Series, str]:
    """Return the series that a name such as ``rank(amount)`` or ``loss`` means, and its column.

    Raises
    ------
    ValueError
        If there is no such series, or none that is watched.

    >>> series, column = parse("rank(amount)")
    >>> series.statistic, column
    ('rank', 'amount')
    """
    statistic, _, rest = name.partition("(")
    column = rest.removesuffix(")")
    series = SERIES.get(statistic)
    if series is None or not series.is_watched or series.has_column != bool(column):
        raise ValueError(f"expected one of {', '.join(names())}, got {name!r}")
    if series.name(column) != name:
        raise ValueError(f"expected {series.name(column)!r}, got {name!r}")
    return series, column


def names() -> list[str]:
    """Return the names of all that is watched, with ``x`` for a column."""
    return [
        series.name("x" if series.has_column else "")
        for series in SERIES.values()
        if series.is_watched
    ]
