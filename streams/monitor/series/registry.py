"""Every series there is: names in specs, documents, kinds and sentences come from here."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tidegauge.streams.monitor.series.base import Series
from tidegauge.streams.monitor.series.check import Check
from tidegauge.streams.monitor.series.context import Label, Score
from tidegauge.streams.monitor.series.delay import Delay
from tidegauge.streams.monitor.series.disparity import Disparity
from tidegauge.streams.monitor.series.duplicate import Duplicate
from tidegauge.streams.monitor.series.error import Error
from tidegauge.streams.monitor.series.flips import Flips
from tidegauge.streams.monitor.series.freshness import Freshness
from tidegauge.streams.monitor.series.hist import Hist
from tidegauge.streams.monitor.series.late import Late
from tidegauge.streams.monitor.series.limit import Limit
from tidegauge.streams.monitor.series.loss import Loss
from tidegauge.streams.monitor.series.missing import Missing
from tidegauge.streams.monitor.series.range import Range
from tidegauge.streams.monitor.series.rank import Rank
from tidegauge.streams.monitor.series.rejected import Rejected
from tidegauge.streams.monitor.series.repeat import Repeat
from tidegauge.streams.monitor.series.resent import Resent
from tidegauge.streams.monitor.series.residual import Residual
from tidegauge.streams.monitor.series.share import SliceShare
from tidegauge.streams.monitor.series.spread import Spread
from tidegauge.streams.monitor.series.type import Type
from tidegauge.streams.monitor.series.unlabelled import Unlabelled
from tidegauge.streams.monitor.series.unpaired import Unpaired
from tidegauge.streams.monitor.series.unseen import Unseen
from tidegauge.streams.monitor.series.volume import Volume

SERIES: Final[Mapping[str, Series]] = MappingProxyType(
    {
        series.statistic: series
        for series in (
            Rank(),
            Range(),
            Missing(),
            Unseen(),
            Repeat(),
            Residual(),
            Spread(),
            Hist(),
            SliceShare(),
            Loss(),
            Error(),
            Disparity(),
            Label(),
            Score(),
            Rejected(),
            Type(),
            Unpaired(),
            Duplicate(),
            Flips(),
            Volume(),
            Late(),
            Freshness(),
            Delay(),
            Unlabelled(),
            Resent(),
            Limit(),
            Check(),
        )
    }
)


def parse(name: str) -> tuple[Series, str] | None:
    """Return the series that a name such as ``rank(amount)`` or ``loss`` means, and its column.

    None if there is no such series; it may be one of another version.

    >>> series, column = parse("rank(amount)")
    >>> series.statistic, column
    ('rank', 'amount')
    """
    statistic, _, rest = name.partition("(")
    series, column = SERIES.get(statistic), rest.removesuffix(")")
    if series is None or series.has_column != bool(column) or series.name(column) != name:
        return None
    return series, column
