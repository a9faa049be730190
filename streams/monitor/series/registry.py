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
