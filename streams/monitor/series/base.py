"""A series: one quantity of a row, averaged over windows, and all there is to say about it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np

from tidegauge.detectors.statistics.shares import row_variance
from tidegauge.schemas.alerts import Figure, Kind, SeriesAlarm
from tidegauge.schemas.references import NumericProfile, SeriesProfile
from tidegauge.streams.monitor.intake.block import Flags, Floats, Ints
from tidegauge.streams.monitor.series.summary import Summary
from tidegauge.streams.monitor.series.tally import MISSING, UNLIKE
from tidegauge.streams.monitor.series.view import View

Rowwise = Literal["numbers", "errors", "nothing"]  # what a detector on rows sees of a series


class Series(ABC):
    """A quantity of a row, and everything that is said about its averages.

    A subclass is one file of this folder and one line of the registry. Class attributes say what
    it is; ``quantity`` computes it; the sentences are those of its alerts.
    """

    statistic: ClassVar[str]  # its name: "rank", watched as "rank(amount)" for a feature
    kind: ClassVar[Kind]
    reads: ClassVar[tuple[type[View], ...]]  # the views whose columns have it, a series each
    about: ClassVar[str]  # a line for the documentation: what moves it
    rowwise: ClassVar[Rowwise] = "numbers"
    is_share: ClassVar[bool] = False
    needs_profile: ClassVar[bool] = True  # of the column, in the reference
    is_watched: ClassVar[bool] = True  # else it is shown beside the others, and never judged
    is_direct: ClassVar[bool] = False  # nothing of the reference is needed to tell it of a row
    is_further: ClassVar[bool] = False  # of the budget's part that leaves the first ones as quick
    has_bins: ClassVar[bool] = False  # it is about pairs of rows, and what bins they are in
    is_live: ClassVar[bool] = False  # of what comes: a published reference says nothing of it
    is_declared: ClassVar[bool] = False  # a spec says what it should be: it needs no reference
    of_score: ClassVar[bool] = True  # whether the model's own number has it, too
    shows_mean: ClassVar[bool] = False  # people are shown the mean of the column's own values
    names_rows: ClassVar[bool] = False  # its examples are values of rows, which no log may hold
    rises_only: ClassVar[bool] = False  # a fall is good news
    is_blatant: ClassVar[bool] = True  # one window that is far off is told at once
    least_sd: ClassVar[float] = 1e-12  # of rows: the unit of the effect is never less
    fixed_sd: ClassVar[float | None] = None  # the unit, whatever the rows of the reference say

    @property
    def has_column(self) -> bool:
        """Whether there is one for each column of a kind, named after it."""
        return any(reads.has_names for reads in self.reads)

    @property
    def has_spec(self) -> bool:
        """Whether the detectors of a spec may name it."""
        return self.is_watched and all(reads.of_model for reads in self.reads)

    @abstractmethod
    def quantity(self, view: View) -> Floats:
        """Return it for each row and column, NaN where a row has none."""

    def rows(self, view: View) -> Floats:
        """Return what a detector on rows sees of each row and column."""
        return self.quantity(view)

    def name(self, feature: str) -> str:
        """Return what the series of a feature is called in specs, reports and alerts."""
        return f"{self.statistic}({feature})" if feature else self.statistic

    def moved(self, by: float, numeric: NumericProfile | None, usual: float) -> float:
        """Return by how much it moves where all values of a column do by so much, in their unit.

        ``usual`` is the least shift that is told otherwise, which stays where that says nothing.
        """
        return usual

    def learn(self, windows: Summary) -> SeriesProfile:
        """Return what a reference keeps of one column, from its windows."""
        return series_profile(self, *windows.moments(self.quantity(windows.view)[:, 0]))

    @abstractmethod
    def phrase(self, alarm: SeriesAlarm, context: Mapping[str, Figure]) -> str:
        """Return what it did, as part of a sentence."""

    @abstractmethod
    def subject(self, feature: str) -> str:
        """Return what is back within tolerance, once it is over."""

    @abstractmethod
    def advice(self, alarm: SeriesAlarm) -> str:
        """Return what to do about it, as a sentence."""


class Share(Series):
    """A series of a quantity that is 0 or 1."""

    rowwise = "errors"
    is_share = True
    names_values: ClassVar[bool] = False  # of its hits: they are examples in its alerts

    @abstractmethod
    def hits(self, view: View) -> Flags:
        """Return which rows and columns have it."""

    def among(self, view: View) -> Flags:
        """Return of which rows and columns it can be said; of all, unless a series says less."""
        return np.ones((len(view), len(view.columns)), np.bool_)

    def quantity(self, view: View) -> Floats:
        """Return it for each row and column, NaN where it cannot be said."""
        return np.where(self.among(view), self.hits(view).astype(np.float64), np.nan)

    def count(self, view: View) -> tuple[Ints, Ints]:
        """Return in how many rows each column has it, and of how many that can be said."""
        return self.hits(view).sum(axis=0), self.among(view).sum(axis=0)


class Unlike(Share):
    """A share of values that are not such as the reference has."""

    def among(self, view: View) -> Flags:
        """Return which values are there."""
        return view.known

    def count(self, view: View) -> tuple[Ints, Ints]:
        """Return in how many rows each column has it, and of how many that can be said."""
        return view.tally[UNLIKE], len(view) - view.tally[MISSING]


def series_profile(
    series: Series,
    rows: Floats,
    means: Floats,
    variances: Floats,
) -> SeriesProfile:
    """Return what a reference keeps of one column's windows, shape (windows,) each.

    Parameters
    ----------
    series
        Whose quantity it is.
    rows, means, variances
        Of the quantity in each window; a window without any has NaN for its mean.
    """
    known = (rows > 0) & ~np.isnan(means)
    if not known.any():
        return SeriesProfile(values=[None] * len(means), rows=[0.0], sd=0.0, shown=0.0)
    total = float(rows[known].sum())
    shares = rows[known] / total
    overall = float((shares * means[known]).sum())
    spread = float((rows * variances)[known].sum())
    within, freedom = spread / total, float((rows[known] - 1.0).clip(0.0).sum())
    between = float((shares * (means[known] - overall) ** 2).sum())
    sd = max(float(np.sqrt(within + between)), series.least_sd)
    variance = spread / freedom if freedom else sd**2
    return SeriesProfile(
        values=[None if np.isnan(mean) else float(mean) for mean in means],
        rows=rows[:1].tolist() if (rows == rows[0]).all() else rows.tolist(),
        sd=sd if series.fixed_sd is None else series.fixed_sd,
        variance=row_variance(min(overall * total, total), total) if series.is_share else variance,
        shown=overall,
    )
