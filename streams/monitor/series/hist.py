"""How otherwise than in the reference a column's values are distributed."""

from collections.abc import Mapping, Sequence

import numpy as np

from tidegauge.schemas.alerts import Figure, SeriesAlarm
from tidegauge.schemas.references import Bin, NumericProfile, SeriesProfile
from tidegauge.streams.monitor.intake.block import Floats, Ints
from tidegauge.streams.monitor.series.base import Series
from tidegauge.streams.monitor.series.bins import (
    BINS,
    ROWS,
    TENTHS,
    VALUE,
    count_binned,
    count_tenths,
    diverge,
    merged,
    owners,
    tenths_of_windows,
)
from tidegauge.streams.monitor.series.moved import moved_ranks
from tidegauge.streams.monitor.series.summary import Summary
from tidegauge.streams.monitor.series.view import Categories, Numbers, View
from tidegauge.streams.monitor.words import cut, moment, numbers, percents

LEAST_SHARE = 0.01  # of a bin: rarer ones are one with another
REST = ""  # the name of all other values
NAME = 24  # characters of a category in a sentence


class Hist(Series):
    """The chi-square divergence of a window's bins from the reference's; see ``bins.diverge``.

    Bins are tenths of a number's mid-ranks, and the 20 most frequent categories and the rest. Its
    figure is a mean over pairs of rows, so the rows of a profile and of a reading are pairs.
    """

    statistic = "hist"
    kind = "drift"
    reads = (Categories, Numbers)
    about = "values are distributed otherwise: another mix, shape or grouping (less is not told)"
    is_further = has_bins = True
    names_rows = rises_only = True
    is_blatant = False
    fixed_sd = 0.5  # with the gate of 0.2: a divergence of 0.1

    def quantity(self, view: View) -> Floats:
        """Return the bin of each value."""
        if isinstance(view, Numbers):
            return np.minimum(np.floor((view.ranks + 0.5) * TENTHS), TENTHS - 1.0)
        assert isinstance(view, Categories)
        found = np.full(view.codes.shape, np.nan)
        for column, bins in enumerate(view.bins):
            here = view.codes[:, column] >= 0
            found[here, column] = bins[view.codes[here, column]]
        return found

    def count(self, view: View) -> Ints:
        """Return how many values of each column are in each bin, shape (columns, BINS)."""
        counts = np.zeros((len(view.columns), BINS), np.int64)
        if isinstance(view, Numbers):
            count_tenths(counts, view.ranks)
        elif isinstance(view, Categories):
            for column, bins in enumerate(view.bins):
                count_binned(counts, view.codes, column, bins)
        return counts

    def learn(self, windows: Summary) -> SeriesProfile:
        """Return what a reference keeps of one column, from its windows."""
        bins, counts = _tenths(windows) if isinstance(windows.view, Numbers) else _kinds(windows)
        shares = np.array([own.share for own in bins])
        held = counts.sum(axis=0) / max(counts.sum(), 1.0)
        found = np.empty((4, len(counts)))
        diverge(found, np.ascontiguousarray(counts), np.tile(shares, (len(counts), 1)))
        ratio = np.divide(held, shares, out=np.zeros(len(bins)), where=shares > 0)
        pairs = found[ROWS].sum()
        return SeriesProfile(
            values=[float(value) if rows else None for value, rows in found[:2].T],
            rows=found[ROWS].tolist(),
            sd=self.fixed_sd,
            variance=max(float((ratio**2).sum()) - 1.0, 0.0),
            shown=float(np.nansum(found[VALUE] * found[ROWS]) / pairs) if pairs else 0.0,
            bins=bins,
        )

    def moved(self, by: float, numeric: NumericProfile | None, usual: float) -> float:
        """Return the divergence of values that moved; no less than otherwise."""
        if numeric is None:
            return usual
        here, *moved = (_shares(ranks) for ranks in moved_ranks(numeric, by))
        own = owners(here)
        expected = merged(here, own)
        known = expected > 0
        parts = (((merged(now, own) - expected) ** 2)[known] / expected[known] for now in moved)
        return max(usual, min(float(part.sum()) for part in parts))

    def phrase(self, alarm: SeriesAlarm, context: Mapping[str, Figure]) -> str:
        """Return what it did, as part of a sentence."""
        name = cut(alarm.feature)
        if alarm.examples:
            return f"{name} is distributed otherwise: {cut(alarm.examples[0])}"
        before, now = numbers(alarm.value.reference, alarm.value.current)
        return f"{name} is distributed otherwise, by a divergence of {now} (reference {before})"

    def subject(self, feature: str) -> str:
        """Return what is back within tolerance, once it is over."""
        return f"distribution of {cut(feature)}"

    def advice(self, alarm: SeriesAlarm) -> str:
        """Return what to do about it, as a sentence."""
        return (
            f"Look for what has changed {cut(alarm.feature)} since {moment(alarm.since_ms)}: "
            "another mix of customers or sources, values that are filled in, rounded or cut off."
        )


def _shares(ranks: Floats) -> Floats:
    """Return which share of ranks is in each tenth, shape (1, TENTHS)."""
    counts = np.zeros((1, BINS), np.int64)
    count_tenths(counts, np.ascontiguousarray(ranks[:, None]))
    return counts[:, :TENTHS] / len(ranks)


def _tenths(windows: Summary) -> tuple[list[Bin], Floats]:
    """Return a number's bins and how many values each window has in them."""
    assert isinstance(windows.view, Numbers)
    values, ranks = windows.view.values[:, 0], windows.view.ranks[:, 0]
    counts = np.zeros((len(windows.starts) - 1, TENTHS))
    _, point, times = np.unique(values, return_inverse=True, return_counts=True)
    whole = times[point] > 1  # medians of runs of values that hardly ever come twice are others
    ranks = np.ascontiguousarray(ranks)
    tenths_of_windows(counts, ranks, windows.weights, whole, windows.starts)
    held = counts.sum(axis=0, keepdims=True) / max(counts.sum(), 1.0)
    kept = np.where(held >= LEAST_SHARE, held, 0.0)
    known = ~np.isnan(ranks)
    names = _ranges(values[known], (ranks[known] + 0.5) * TENTHS, np.flatnonzero(kept))
    bins = [
        Bin(name=names.get(at, REST), share=share)
        for at, share in enumerate(merged(held, owners(kept))[0].tolist())
    ]
    return bins, merged(counts, owners(np.tile(kept, (len(counts), 1))))


def _ranges(values: Floats, tenths: Floats, kept: Ints) -> dict[int, str]:
    """Return from where to where the values of each bin lie, in words, by its first tenth."""
    bins = np.searchsorted(kept[1:], tenths, side="right")
    found = {}
    for at, first in enumerate(kept.tolist()):
        own = values[bins == at]
        if not len(own):
            continue
        low, high = float(own.min()), float(own.max())
        from_, to = numbers(low, high)
        name = f"between {from_} and {to}" if from_ != to else from_
        name = f"at most {to}" if at == 0 else name
        found[first] = f"at least {from_}" if at == len(kept) - 1 else name
    return found


def _kinds(windows: Summary) -> tuple[list[Bin], Floats]:
    """Return a category's bins and how many values each window has in them."""
    assert isinstance(windows.view, Categories)
    codes, (dictionary,) = windows.view.codes[:, 0], windows.view.dictionaries
    counts = np.zeros((len(windows.starts) - 1, len(dictionary.values)))
    window = np.repeat(np.arange(len(counts)), np.diff(windows.starts))
    np.add.at(counts, (window, codes), windows.weights)
    held = counts.sum(axis=0) / max(counts.sum(), 1.0)
    named = zip(-held, dictionary.values, range(len(held)), strict=True)
    best = [at for less, name, at in sorted(named) if -less >= LEAST_SHARE and name != REST]
    del best[BINS - 1 :]
    rest = max(1.0 - float(held[best].sum()), LEAST_SHARE)
    bins = [Bin(name=dictionary.values[at], share=float(held[at])) for at in best]
    own = counts[:, best]
    others = counts.sum(axis=1) - own.sum(axis=1)
    return [*bins, Bin(name=REST, share=rest)], np.column_stack([own, others])


def most_moved(counts: Floats, bins: Sequence[Bin]) -> list[str]:
    """Return in words which bin has grown most, and which has shrunk most.

    >>> bins = [Bin(name="DE", share=0.4), Bin(name="FR", share=0.3), Bin(name="", share=0.3)]
    >>> most_moved(np.array([62.0, 8.0, 30.0]), bins)
    ['62% are DE (reference 40%)', '8% are FR (reference 30%)']
    """
    shares = np.array([own.share for own in bins])
    now = counts[: len(bins)] / counts.sum()
    grown = now - shares
    return [_moved(bins[at], float(now[at])) for at in (grown.argmax(), grown.argmin())]


def _moved(bin: Bin, share: float) -> str:
    before, now = percents(bin.share, share)
    return f"{now} are {cut(bin.name, NAME) or 'others'} (reference {before})"
